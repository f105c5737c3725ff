#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# fs_exercise.sh - a file holds what was written to it, by whatever way, whatever
# happened to it since: random operations, and a new mount after each part of them.
#
# KEYFS_TEST_STEPS says how many operations, KEYFS_TEST_ROUNDS in how many parts.
. "${srcdir:-.}/tests/lib.sh" || exit 1

seed=${KEYFS_TEST_SEED:-$((RANDOM * 32768 + RANDOM))}
steps=${KEYFS_TEST_STEPS:-$(share_of 100000)}
rounds=${KEYFS_TEST_ROUNDS:-4}
# Whole phases of fs_exercise, so that a failure repeats without the mounts.
part=$(((steps / rounds + 999) / 1000 * 1000))
store=$tmp/store
mnt=$tmp/mnt
mkdir "$mnt"
echo "KEYFS_TEST_SEED=$seed"

# exercise FIRST LAST: compares the files with what they held before that mount, and
# goes on.
exercise() {
	keyfs mount "$store" "$mnt" || exit 1
	./tests/fs_exercise "$mnt" "$tmp/expected" "$seed" "$1" "$2" ||
		fail "steps $1 to $2, see above"
	keyfs umount "$mnt" || fail "umount"
}

claim "every byte read is the byte written last, after the next mount too"
for ((first = 1; first <= steps && failures == 0; first += part)); do
	last=$((first + part - 1))
	exercise "$first" $((last < steps ? last : steps))
done
[[ $failures -gt 0 ]] || exercise 1 0

claim "the tree is whole after that"
expect 0 "no damage found" keyfs check "$store"

echo "cases: $steps"
finish
