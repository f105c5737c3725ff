#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# mount_bench.sh - measures a keyfs mount beside the disk below it and tmpfs.
#
# usage: mount_bench.sh KEYFS MOUNT_BENCH [OPTION]...
#
# KEYFS and MOUNT_BENCH are the built programs; options go to MOUNT_BENCH.  The store
# and the directory that is compared with it lie in one new directory below
# $BENCH_DIR (default: the current one), so on the same disk; options for the mount
# come from $BENCH_MOUNT_OPTIONS.  Everything is unmounted and removed at the end.
set -eu

keyfs=$1
mount_bench=$2
shift 2

work=
mounted=

cleanup() {
	[[ -z $mounted ]] || "$keyfs" umount "$work/mount" || true
	[[ -z $work ]] || rm -rf --one-file-system "$work"
	[[ ! -d ${memory-} ]] || rmdir "$memory"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

work=$(mktemp -d "${BENCH_DIR:-.}/mount-bench.XXXXXX")
work=$(cd "$work" && pwd -P)
mkdir "$work/store" "$work/mount" "$work/disk"

options=()
[[ -z ${BENCH_MOUNT_OPTIONS-} ]] || options=(-o "$BENCH_MOUNT_OPTIONS")
"$keyfs" mount "$work/store" "$work/mount" "${options[@]}"
mounted=yes

targets=("keyfs=$work/mount" "disk=$work/disk")
if [[ $(stat -f -c %T /dev/shm 2>/dev/null) == tmpfs ]]; then
	memory=$(mktemp -d /dev/shm/mount-bench.XXXXXX)
	targets+=("tmpfs=$memory")
fi

printf 'keyfs on %s beside the same disk; %s processors\n' \
	"$(stat -f -c %T "$work/store")" "$(nproc)"
"$mount_bench" --rival=disk "$@" "${targets[@]}"
