#!/bin/bash
# Builds and runs the spike: run.sh WORK_DIRECTORY [NAMES].  As root: it mounts an ext4 image.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$1
names=${2:-1000000}
mkdir -p "$work"
cmake -G Ninja -S "$here" -B "$work/build" >/dev/null
cmake --build "$work/build" >/dev/null
spike=$work/build/index_engine_spike
cleanup() {
  fsfreeze -u "$work/mnt" 2>/dev/null || true
  umount "$work/mnt" 2>/dev/null || true
  rm -rf "$work/image" "$work/data"
}
trap cleanup EXIT
for engine in lmdb sqlite rocksdb; do
  rm -rf "$work/data" && mkdir "$work/data"
  "$spike" speed $engine "$work/data" "$names"
done
for engine in lmdb sqlite rocksdb; do
  rm -rf "$work/data" && mkdir "$work/data"
  timeout 300 "$spike" damage $engine "$work/data" 20000 || echo "$engine: damage run ended early"
done
truncate -s 2G "$work/image"
mkfs.ext4 -q "$work/image"
mkdir -p "$work/mnt"
mount -o loop "$work/image" "$work/mnt"
for engine in lmdb sqlite rocksdb; do
  mkdir "$work/mnt/$engine"
  timeout 60 "$spike" freeze $engine "$work/mnt/$engine" 20000
done
