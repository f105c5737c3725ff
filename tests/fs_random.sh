#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# fs_random.sh - the same random operations on a mounted store and on ext4.
#
# Each round is five runs: one alone, then four at a time, each in a directory of its
# own, while the kernel is made to forget what it has cached; then a remount.
# KEYFS_TEST_ROUNDS says how many rounds, KEYFS_TEST_STEPS how many operations a run.
. "${srcdir:-.}/tests/lib.sh" || exit 1
. "${srcdir:-.}/tests/disk.sh" || exit 1

rounds=${KEYFS_TEST_ROUNDS:-$(share_of 4)}
steps=${KEYFS_TEST_STEPS:-5000}
store=$tmp/store
mnt=$tmp/mnt
mkdir "$mnt"
disk_make ext4 512M
mount -o remount,noatime "$disk" || exit 1
reference=$disk/reference
mkdir "$reference"

# All that a tree is, but for times; names may hold line breaks.
describe() (
	cd "$1" || exit
	find . -mindepth 1 -type d -printf '%P %m %n %U %G\0' | sort -z
	find . ! -type d -printf '%P %y %m %n %s %U %G %l\0' | sort -z
	find . -type f -print0 | sort -z | xargs -0r md5sum
)

# run N: random operations in a directory on both sides.
run() {
	mkdir "$reference/$1" "$mnt/$1"
	./tests/fs_random "$mnt/$1" "$reference/$1" "$steps" >"$tmp/run.$1" 2>&1 ||
		fail "run $1: $(cat "$tmp/run.$1")"
}

# Until it is killed.
forget_caches() {
	while sleep 0.3; do
		echo 2 >/proc/sys/vm/drop_caches
	done
}

four_at_a_time() {
	local pids=() i forgetful

	forget_caches 2>/dev/null &
	forgetful=$!
	for ((i = 1; i <= 4; i++)); do
		(run "four.$i" && exit "$failures") &
		pids+=($!)
	done
	for i in "${pids[@]}"; do
		wait "$i" || fail "one of four, see above"
	done
	kill "$forgetful"
	wait "$forgetful"
}

claim "random operations have the results that they have on ext4"
for ((round = 1; round <= rounds && failures == 0; round++)); do
	keyfs mount "$store" "$mnt" || exit 1
	run one
	four_at_a_time
	keyfs umount "$mnt" || fail "umount"
	keyfs mount "$store" "$mnt" || exit 1
	cmp <(describe "$reference") <(describe "$mnt") ||
		fail "round $round: after the next mount it differs"
	rm -r "${reference:?}"/* "${mnt:?}"/* || fail "rm -r"
	keyfs umount "$mnt" || fail "umount"
done

claim "the tree is whole after that"
keyfs check "$store" >"$tmp/check" || fail "$(cat "$tmp/check")"

echo "cases: $((rounds * steps * 5))"
finish
