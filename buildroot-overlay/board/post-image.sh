#!/usr/bin/env bash
# Hands what Buildroot has compiled to holm-image, which lays out and signs the disk image.
# Buildroot calls it with the images' folder as argument and its own folders in the environment.
set -euo pipefail

die() {
  printf 'post-image: %s\n' "$*" >&2
  exit 1
}

# The value of a string option.
option() {
  sed -n "s/^$1=\"\\(.*\\)\"\$/\\1/p" "$BR2_CONFIG"
}

# The only one of the given paths that is there.
only() {
  local what=$1 path found=()
  shift
  for path in "$@"; do
    [[ ! -e $path ]] || found+=("$path")
  done
  ((${#found[@]} == 1)) || die "expected one $what, found ${#found[@]}: ${found[*]:-none of $*}"
  printf '%s\n' "${found[0]}"
}

images=${1:?usage: post-image.sh IMAGES}
board=$(option BR2_PACKAGE_HOST_HOLM_IMAGE_BOARD)
[[ -n $board ]] || die 'BR2_PACKAGE_HOST_HOLM_IMAGE_BOARD names no board'
keys=$(option BR2_PACKAGE_HOST_HOLM_IMAGE_KEYS)
document=$(option BR2_PACKAGE_HOST_HOLM_IMAGE_DOCUMENT)

kernel=$(only kernel "$images"/{bzImage,Image})
modules=$(only 'folder of kernel modules' "$TARGET_DIR"/lib/modules/*)
e2fsck=$(only 'static e2fsck' "$TARGET_DIR/usr/sbin/e2fsck.static")

# holm-image takes both binaries from one folder.
binaries=$BUILD_DIR/holm-binaries
mkdir -p "$binaries"
for binary in usr/sbin/holm-init usr/bin/holm; do
  cp "$(only "${binary##*/}" "$TARGET_DIR/$binary")" "$binaries/"
done

arguments=(--board "$board" --output "$images/holm-$board.img" --binaries "$binaries"
  --kernel "$kernel" --modules "$modules" --repair "$e2fsck")
if compgen -G "$images/*/*.dtb" >/dev/null; then
  arguments+=(--device-trees "$images")
fi
[[ -z $keys ]] || arguments+=(--keys "$keys")
[[ -z $document ]] || arguments+=(--config "$document")

# It finds its boards from where it is run, and cargo, which it asks for the licences of the crates,
# finds them where the packages have left them.
cd "$BR2_EXTERNAL_HOLM_PATH/.."
# The time of an image is that of Holm's commit, not of Buildroot's.
unset SOURCE_DATE_EPOCH
export HOLM_BUILD_DIR=${HOLM_BUILD_DIR:-$BUILD_DIR/holm-image-steps}
export CARGO_HOME=$BR2_DL_DIR/br-cargo-home
exec holm-image build "${arguments[@]}"
