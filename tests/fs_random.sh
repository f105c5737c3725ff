#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# fs_random.sh - the same random operations on a mounted store and on ext4.
#
# KEYFS_TEST_ROUNDS says how often, KEYFS_TEST_STEPS how many operations each time.
. "${srcdir:-.}/tests/lib.sh" || exit 1
. "${srcdir:-.}/tests/disk.sh" || exit 1

rounds=${KEYFS_TEST_ROUNDS:-3}
steps=${KEYFS_TEST_STEPS:-2500}
store=$tmp/store
mnt=$tmp/mnt
mkdir "$mnt"
disk_make ext4 512M
mount -o remount,noatime "$disk" || exit 1

# All that a tree is, but for times; names may hold line breaks.
describe() (
	cd "$1" || exit
	find . -mindepth 1 -type d -printf '%P %m %n %U %G\0' | sort -z
	find . ! -type d -printf '%P %y %m %n %s %U %G %l\0' | sort -z
	find . -type f -print0 | sort -z | xargs -0r md5sum
)

claim "random operations have the results that they have on ext4"
for ((round = 1; round <= rounds && failures == 0; round++)); do
	mkdir "$disk/$round"
	keyfs mount "$store" "$mnt" || exit 1
	mkdir "$mnt/$round"
	./tests/fs_random "$mnt/$round" "$disk/$round" "$steps" ||
		fail "round $round, see above"
	keyfs umount "$mnt" || fail "umount"
	keyfs mount "$store" "$mnt" || exit 1
	cmp <(describe "$disk/$round") <(describe "$mnt/$round") ||
		fail "round $round: after the next mount it differs"
	rm -r "${disk:?}/$round" "${mnt:?}/$round" || fail "rm -r"
	keyfs umount "$mnt" || fail "umount"
done

claim "the tree is whole after that"
keyfs check "$store" >"$tmp/check" || fail "$(cat "$tmp/check")"

echo "cases: $((rounds * steps))"
finish
