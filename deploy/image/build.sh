#!/bin/sh
# Builds a static program and an image of it alone: build.sh PROGRAM IMAGE. Takes podman, buildah or docker, whichever is
# there; BUILDER=docker says which. PREBUILT=file is a static program that is there already;
# SBOM=file goes into the image.
set -eu
cd "$(dirname "$0")/../.."
program=$1 image=$2
if [ -n "${PREBUILT:-}" ]; then
  built=$PREBUILT
else
  target=x86_64-unknown-linux-gnu
  [ "$(uname -m)" = aarch64 ] && target=aarch64-unknown-linux-gnu

  # Names are resolved without files of the C library from glibc 2.34 on: an image from scratch has none.
  glibc=$(getconf GNU_LIBC_VERSION | cut -d. -f2)
  [ "$glibc" -ge 34 ] || { echo "glibc 2.$glibc cannot resolve names in a static program: 2.34 or newer is needed" >&2; exit 1; }

  # Static, and without the paths of this machine: two builds of one commit with one toolchain are the same, bit for bit.
  home=${CARGO_HOME:-$HOME/.cargo}
  RUSTFLAGS="-C target-feature=+crt-static --remap-path-prefix=$PWD=. --remap-path-prefix=$home=cargo" \
    cargo build --locked --release --target "$target" --bin "$program"
  built=${CARGO_TARGET_DIR:-target}/$target/release/$program
fi

context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
root=$context/root
mkdir -p "$root/etc/ssl/certs"
cp "$built" "$root/booking-operator"
for bundle in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/ca-bundle.pem; do
  [ -f "$bundle" ] && { cp "$bundle" "$root/etc/ssl/certs/ca-certificates.crt"; break; }
done
[ -n "${SBOM:-}" ] && cp "$SBOM" "$root/sbom.cdx.json"
# Nothing of the day or the machine it was built on.
find "$root" -exec touch -d @0 {} +
chmod -R a+rX "$root"
set -- --target prebuilt --build-arg VERSION="${image##*:}" --build-arg TITLE="$program" \
  -f deploy/image/Containerfile -t "$image" "$context"
case $(command -v "${BUILDER:-podman}" || command -v buildah || command -v docker || true) in
  */podman) podman build --timestamp 0 "$@" ;;
  */buildah) buildah --storage-driver "${STORAGE_DRIVER:-vfs}" bud --isolation chroot --timestamp 0 "$@" ;;
  */docker) docker build "$@" ;;
  *) echo "no podman, buildah or docker" >&2; exit 1 ;;
esac
ls -l "$built" | awk '{ printf "%s: %.1f MB\n", $NF, $5 / 1e6 }'
