#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# fs_random.sh - the same random operations on a mounted store and on tmpfs.
. "${srcdir:-.}/tests/lib.sh" || exit 1

store=$tmp/store
mnt=$tmp/mnt
ref=$(mktemp -d /dev/shm/keyfs-test.XXXXXX) || exit 1
trap 'rm -rf "$ref"; cleanup' EXIT
mkdir "$mnt"

# All that a tree is, but for times; names may hold line breaks.
describe() (
	cd "$1" || exit
	find . -mindepth 1 -type d -printf '%P %m %n %U %G\0' | sort -z
	find . ! -type d -printf '%P %y %m %n %s %U %G %l\0' | sort -z
	find . -type f -print0 | sort -z | xargs -0r md5sum
)

claim "2,000 random operations have the results that they have on tmpfs"
keyfs mount "$store" "$mnt" || exit 1
./tests/fs_random "$mnt" "$ref" || fail "see above"

claim "and the tree is the same after the next mount"
expect 0 "" keyfs umount "$mnt"
expect 0 "" keyfs mount "$store" "$mnt"
cmp <(describe "$ref") <(describe "$mnt") || fail "it differs"
expect 0 "" keyfs umount "$mnt"
keyfs check "$store" >"$tmp/check" || fail "$(cat "$tmp/check")"

finish
