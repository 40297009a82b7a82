#!/bin/sh
# Writes the operator's bill of materials in CycloneDX: sbom.sh FILE. It lists what the operator is linked from, not
# what only builds or tests use.
set -eu
cd "$(dirname "$0")/../.."
version=0.5.9
tools=${XDG_CACHE_HOME:-$HOME/.cache}/booking-operator/tools/cargo-cyclonedx-$version
[ -x "$tools/bin/cargo-cyclonedx" ] ||
  cargo install cargo-cyclonedx --version "$version" --locked --debug --root "$tools"

# cargo-cyclonedx writes one file beside each manifest of the workspace.
name=sbom-$$
trap 'find . -name "$name.json" -not -path "./target/*" -delete' EXIT
SOURCE_DATE_EPOCH=0 PATH="$tools/bin:$PATH" cargo cyclonedx --manifest-path src/operator/Cargo.toml --quiet \
  --format json --spec-version 1.5 --no-build-deps --override-filename "$name"
mkdir -p "$(dirname "$1")"
# The paths of this machine are removed, so that the file is the same on every machine.
sed "s|path+file://$PWD|path+file://|g" "src/operator/$name.json" >"$1"
echo "$1: $(grep -c '"purl"' "$1") components"
