#!/bin/sh
# Builds a static program, and an image that holds only this program: build.sh PROGRAM IMAGE. It uses the first of
# podman, buildah and docker that it finds; BUILDER=docker chooses one. PREBUILT=file is a static program to use instead
# of a build. SBOM=file is copied into the image.
set -eu
cd "$(dirname "$0")/../.."
program=$1 image=$2
if [ -n "${PREBUILT:-}" ]; then
  built=$PREBUILT
else
  target=x86_64-unknown-linux-gnu
  [ "$(uname -m)" = aarch64 ] && target=aarch64-unknown-linux-gnu

  # The image has no files of the C library. From glibc 2.34 on, a static program resolves names without them.
  glibc=$(getconf GNU_LIBC_VERSION | cut -d. -f2)
  [ "$glibc" -ge 34 ] || { echo "glibc 2.$glibc cannot resolve names in a static program: 2.34 or newer is needed" >&2; exit 1; }

  # The paths of this machine are removed, so that two builds of one commit with one toolchain are equal bit for bit.
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
# The image depends neither on the day nor on the machine of the build.
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
