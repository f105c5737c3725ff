#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# fs_permit.sh - who may do what, on a mounted store and on ext4: users, groups, modes,
# operations.
#
# KEYFS_TEST_MODES says how many of the 4,096 modes.
. "${srcdir:-.}/tests/lib.sh" || exit 1
. "${srcdir:-.}/tests/disk.sh" || exit 1

store=$tmp/store
mnt=$tmp/mnt
mkdir "$mnt"
disk_make ext4 64M
keyfs mount -o allow_other "$store" "$mnt" || exit 1

claim "every user may do what he may on ext4, and it has the same effect"
mkdir "$mnt/permit" "$disk/permit"
./tests/fs_permit "$mnt/permit" "$disk/permit" "${KEYFS_TEST_MODES:-$(share_of 256)}" ||
	fail "see above"
keyfs umount "$mnt" || fail "umount"

claim "the tree is whole after that"
expect 0 "no damage found" keyfs check "$store"

finish
