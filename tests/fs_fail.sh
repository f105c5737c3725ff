#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# fs_fail.sh - a disk that fails under a mount: whoever syncs and whoever writes
# later gets the error, reads go on, the reason can be read, and what was synced
# is there on a disk that works.
. "${srcdir:-.}/tests/lib.sh" || exit 1

store=$tmp/store
mnt=$tmp/mnt
faults=$tmp/faults
mkdir "$mnt"
export KEYFS_TEST_FAULTS=$faults
preload=$PWD/tests/.libs/disk_faults.so

# The library comes before the sanitizers' own, which object to that.
mount_faulty() {
	LD_PRELOAD=$preload \
		ASAN_OPTIONS=verify_asan_link_order=0:${ASAN_OPTIONS:-} \
		"$KEYFS" mount -f -o memory=1M "$store" "$mnt" 2>"$tmp/daemon" &
	pid=$!
	for _ in {1..300}; do
		mountpoint -q "$mnt" && return
		sleep 0.02
	done
	fail "mount: $(cat "$tmp/daemon")"
	finish
}

# Writes until an error comes, which must be EIO; with more than a memtable, so
# that every file of the store is written to.
fails_with_eio() {
	local i

	for ((i = 0; i < 200; i++)); do
		head -c 20000 /dev/urandom |
			dd of="$mnt/more-$i" bs=64K conv=fsync status=none \
				2>"$tmp/errors" || break
	done
	errors=$(cat "$tmp/errors")
	[[ $errors == *": Input/output error" ]] || fail "$i files; $errors"
}

# Mounts a store with a file that is synced, and one that is large.
begin() {
	mount_faulty
	echo synced >"$mnt/synced" || fail "write"
	cp "$tmp/large" "$mnt/large" || fail "cp"
	sync "$mnt/large" || fail "sync"
}

reads_go_on() {
	expect 0 "synced" cat "$mnt/synced"
	cmp "$tmp/large" "$mnt/large" || fail "reading"
}

# After the next mount, on a disk that works, everything synced is there.
end() {
	keyfs umount "$mnt" || fail "umount"
	wait "$pid"
	keyfs mount "$store" "$mnt" || fail "mount"
	reads_go_on
	rm -r "${mnt:?}/"* || fail "rm"
	expect 0 "" keyfs umount "$mnt"
	expect 0 "no damage found" keyfs check "$store"
}

# The reason can be read where people look for it.
tells_why() {
	local why='failed: Input/output error'

	keyfs stats "$store" | grep -q "^state .* $why$" ||
		fail "$(keyfs stats "$store" | head -n 1)"
	grep -q " error .* $why" "$store/LOG" ||
		fail "$(tail -n 3 "$store/LOG")"
	grep -q "^keyfs: .* $why" "$tmp/daemon" || fail "$(cat "$tmp/daemon")"
}

# A failure after which nothing more is accepted, whatever the disk does then: it
# has forgotten what it was to sync.
fails_for_good() {
	begin
	echo "$1" >"$faults"
	fails_with_eio
	rm "$faults"
	expect_error 1 "*: Input/output error" mkdir "$mnt/late"
	expect_error 1 "*: Input/output error" sync "$mnt/large"
	reads_go_on
	tells_why
	end
}

# A failure that has lost nothing: the next write is made in the same place.
fails_for_a_while() {
	begin
	echo "$1" >>"$faults"
	fails_with_eio
	reads_go_on
	rm "$faults"
	mkdir "$mnt/late" || fail "mkdir"
	sync "$mnt/late" || fail "sync"
	end
}

head -c 100000 /dev/urandom >"$tmp/large"

claim "a failed sync of the log"
fails_for_good "fdatasync .log 5"

claim "a failed sync of the manifest"
fails_for_good "fdatasync MANIFEST 5"

claim "a failed sync of the directory"
fails_for_good "fsync /store 5"

claim "a failed sync of a table"
fails_for_good "fdatasync .sst 5"

claim "a failed write to the manifest"
fails_for_good "pwrite MANIFEST 5"

claim "a log that can make no more room"
fails_for_a_while "fallocate .log 5"

claim "a failed write to a log that is not mapped"
echo "fstatfs / 0" >"$faults"
fails_for_a_while "pwrite .log 5"

finish
