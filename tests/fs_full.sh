#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# fs_full.sh - a store on a disk that fills up, by its own mount and from outside:
# nothing accepted is lost, deleting works, and writing resumes by itself.
. "${srcdir:-.}/tests/lib.sh" || exit 1
. "${srcdir:-.}/tests/disk.sh" || exit 1

store=$disk/store
mnt=$tmp/mnt
state=$tmp/state
mkdir "$mnt"
disk_make ext4 80M

mount_store() {
	keyfs mount -o memory=8M "$store" "$mnt" || { fail "mount"; finish; }
}

# Writes files until there is no room; the first error must say so.
fill() {
	./tests/fs_ops fill "$mnt" "$state" || fail "see above"
}

# All that was accepted is there.
filled() {
	./tests/fs_ops filled "$mnt" "$state" || fail "see above"
}

# Writing resumes by itself, however long the disk takes to notice.
resumes() {
	local i

	for ((i = 0; i < 300; i++)); do
		./tests/fs_ops more "$mnt" "$state" >"$tmp/more" && return
		sleep 0.1
	done
	fail "$(cat "$tmp/more")"
}

# Removes what was filled in, which no full disk may refuse.
empty() {
	./tests/fs_ops empty "$mnt" "$state" || fail "see above"
}

claim "a disk filled by the mount refuses the write and loses nothing"
mount_store
fill
filled

claim "a full store can be unmounted, mounted, read and killed"
expect 0 "" keyfs umount "$mnt"
mount_store
filled
pid=$(daemon_pid "$store")
kill -KILL "$pid"
while is_running "$pid"; do sleep 0.02; done
umount -l "$mnt"
mount_store
filled

claim "deleting works on a full disk, and then writing resumes"
empty
resumes
filled

claim "it does so again, and across a mount"
fill
expect 0 "" keyfs umount "$mnt"
mount_store
empty
resumes
filled

claim "a disk filled from outside, under load, refuses the write and loses nothing"
(sleep 0.2 && cat /dev/zero >"$disk/other" 2>"$tmp/errors") &
fill
wait
cat /dev/zero >>"$disk/other" 2>"$tmp/errors"
filled
expect 0 "" keyfs umount "$mnt"
mount_store
filled

claim "and writing resumes when it is freed from outside"
rm "$disk/other"
resumes
filled

claim "a full memtable and a disk filled from outside: what was synced is there"
cat /dev/zero >"$disk/other" 2>"$tmp/errors"
fill
sync "$mnt" || fail "sync"
kill -KILL "$(daemon_pid "$store")"
umount -l "$mnt"
mount_store
filled
empty
rm "$disk/other"
resumes
filled

claim "the tree is whole after that"
expect 0 "" keyfs umount "$mnt"
expect 0 "no damage found" keyfs check "$store"

finish
