#!/bin/sh
# cargo's RUSTC_WORKSPACE_WRAPPER: links programs statically, from the libraries that other builds of this profile have made.
# Static in all their parts, as RUSTFLAGS would have them, the SDK would be compiled once more.
case " $* " in
  *" --print"*) ;; # a question about the compiler
  *" --crate-type bin "*) exec "$@" -C target-feature=+crt-static -C strip=symbols ;;
esac
exec "$@"
