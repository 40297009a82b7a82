#!/bin/sh
# Used as cargo's RUSTC_WORKSPACE_WRAPPER. It links programs statically, from the libraries that other builds of this
# profile have made. With RUSTFLAGS, all libraries would be static, and the SDK would be compiled once more.
case " $* " in
  *" --print"*) ;; # a question about the compiler
  *" --crate-type bin "*) exec "$@" -C target-feature=+crt-static -C strip=symbols ;;
esac
exec "$@"
