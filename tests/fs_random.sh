#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# fs_random.sh - the same random operations on a mounted store and on tmpfs.
. "${srcdir:-.}/tests/lib.sh"

store=$tmp/store
mnt=$tmp/mnt
ref=$(mktemp -d /dev/shm/keyfs-test.XXXXXX) || exit 1
trap 'rm -rf "$ref"; cleanup' EXIT
mkdir "$mnt"

claim "2,000 random operations have the results that they have on tmpfs"
keyfs mount "$store" "$mnt" || exit 1
./tests/fs_random "$mnt" "$ref" || fail "see above"

claim "and the tree is the same after the next mount"
expect 0 "" keyfs umount "$mnt"
expect 0 "" keyfs mount "$store" "$mnt"
diff -r --no-dereference "$mnt" "$ref" >"$tmp/diff" 2>&1 ||
	grep -v ' is a \(fifo\|socket\) while file ' "$tmp/diff" |
	head -5 | grep . && fail "differs"
expect 0 "" keyfs umount "$mnt"
keyfs check "$store" >"$tmp/check" || fail "$(cat "$tmp/check")"

finish
