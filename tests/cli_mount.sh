#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# cli_mount.sh - mounting and unmounting: what is reported, and when.
. "${srcdir:-.}/tests/lib.sh"

store=$tmp/store
mnt=$tmp/mnt
mkdir "$mnt"

claim "mount returns when the mount answers, and makes the store"
expect 0 "" keyfs mount "$store" "$mnt"
echo 1 >"$mnt/a" || fail "the mount does not answer"
[[ $(findmnt -n -o FSTYPE,SOURCE -M "$mnt") == "fuse.keyfs $store" ]] ||
	fail "$(findmnt -n -o FSTYPE,SOURCE -M "$mnt")"

claim "a store can be mounted once, and a mountpoint used once"
mkdir "$tmp/mnt2"
expect_error 4 "keyfs: mount: $store: it is mounted already, on $mnt" \
	keyfs mount "$store" "$tmp/mnt2"
expect_error 4 "*: $store is mounted there already" \
	keyfs mount "$tmp/store2" "$mnt"

claim "as many files may be open as the system allows"
expect 0 "" keyfs umount "$mnt"
expect 0 "" prlimit --nofile=256: "$KEYFS" mount "$store" "$mnt"
limits=$(prlimit --nofile --output SOFT,HARD --noheadings \
	--pid "$(daemon_pid "$store")")
read -r soft hard <<<"$limits"
[[ $soft == "$hard" ]] || fail "$limits"

claim "umount waits for a user who is just going"
echo x >"$mnt/going"
sleep 0.2 9<"$mnt/going" &
expect 0 "" keyfs umount "$mnt"
wait
expect 0 "" keyfs mount "$store" "$mnt"
rm "$mnt/going"

claim "umount refuses while the mount is in use"
(cd "$mnt" && expect_error 4 "*: in use; *" keyfs umount "$mnt"
	exit "$failures") || fail "see above"

claim "umount returns when the store is closed"
expect 0 "" keyfs umount "$mnt"
expect 0 "1" keyfs get "$store" a
expect_error 3 "*: no store is mounted there" keyfs umount "$mnt"

claim "what was written is there at the next mount"
expect 0 "" keyfs mount "$store" "$mnt"
expect 0 "1" cat "$mnt/a"

claim "a killed daemon's mount is cleared by the next one, and its data is there"
echo 2 >"$mnt/b"
kill -KILL "$(daemon_pid "$store")" || fail "it could not be killed"
expect 0 "" keyfs mount "$store" "$mnt"
[[ $errors == *"$mnt: clearing the mount of a daemon that died" ]] ||
	fail "not said: $errors"
expect 0 "2" cat "$mnt/b"
[[ $(grep -c " $mnt fuse.keyfs " /proc/self/mounts) -eq 1 ]] ||
	fail "$(grep "$mnt" /proc/self/mounts)"
kill -KILL "$(daemon_pid "$store")" || fail "it could not be killed"
expect 0 "" keyfs umount "$mnt"
expect 0 "2" keyfs get "$store" b

claim "a read-only mount changes nothing"
expect 0 "" keyfs mount -o ro "$store" "$mnt"
expect 0 "2" cat "$mnt/b"
! echo 3 2>/dev/null >"$mnt/b" || fail "it was written"
expect 0 "" keyfs umount "$mnt"
expect_error 3 "*: there is no store*" keyfs mount -o ro "$tmp/none" "$mnt"

claim "the foreground daemon ends at TERM with the store closed"
"$KEYFS" mount -f "$store" "$mnt" &
for _ in {1..100}; do
	mountpoint -q "$mnt" && break
	sleep 0.1
done
echo 4 >"$mnt/c"
kill -TERM $!
wait $!
status=$?
[[ $status -eq 0 ]] || fail "status $status"
expect 0 "4" keyfs get "$store" c

# Flags of each of its threads: 0x80000 is PF_MEMALLOC_NOIO.
# shellcheck disable=SC2317 # expect calls it
threads_without_io() {
	cut -d ' ' -f 9 /proc/"$(daemon_pid "$store")"/task/*/stat |
		while read -r flags; do echo $((flags & 0x80000 ? 1 : 0)); done |
		sort | uniq -c | awk '{ print $2 }'
}

# shellcheck disable=SC2317 # expect calls it
oom_score() {
	cat /proc/"$(daemon_pid "$store")"/oom_score_adj
}

# Takes CAP_SYS_RESOURCE, which root in a container may lack.
if (echo -1 >/proc/self/oom_score_adj) 2>/dev/null; then
	claim "the daemon is kept from waiting for itself, and alive, when memory is short"
	expect 0 "" keyfs mount "$store" "$mnt"
	expect 0 "1" threads_without_io
	expect 0 "-900" oom_score
	expect 0 "" keyfs umount "$mnt"
fi

claim "what somebody says of killing it stays"
expect 0 "" choom -n 300 -- "$KEYFS" mount "$store" "$mnt"
expect 0 "300" oom_score
expect 0 "" keyfs umount "$mnt"

claim "the letters that FUSE filesystems share"
expect 0 "$(keyfs help mount)" keyfs mount -h
expect 0 "$(keyfs --version)" keyfs mount -V "$store" "$mnt"
"$KEYFS" mount -d -s "$store" "$mnt" >"$tmp/requests" 2>&1 &
for _ in {1..100}; do
	mountpoint -q "$mnt" && break
	sleep 0.1
done
expect 0 "4" cat "$mnt/c"
expect 0 "" keyfs umount "$mnt"
wait $!
grep -q LOOKUP "$tmp/requests" || fail "no request is printed"

claim "a service manager is told when the mount answers and when it ends"
./tests/fs_ops notified "$tmp/notify" 2 >"$tmp/states" &
listener=$!
while [[ ! -S $tmp/notify ]]; do sleep 0.05; done
NOTIFY_SOCKET=$tmp/notify "$KEYFS" mount -f "$store" "$mnt" &
daemon=$!
while [[ ! -s $tmp/states ]]; do sleep 0.05; done
expect 0 "4" cat "$mnt/c"
kill -TERM "$daemon"
wait "$daemon" "$listener"
[[ $(cat "$tmp/states") == "READY=1"$'\n'"STOPPING=1" ]] ||
	fail "$(cat "$tmp/states")"

claim "what cannot be mounted is refused with the reason"
expect_error 3 "*: no such directory; make it first" \
	keyfs mount "$store" "$tmp/nodir"
expect_error 3 "*: no such directory to put it in; make that first" \
	keyfs mount "$tmp/nodir/store" "$mnt"
mkdir "$tmp/full" "$tmp/other"
echo >"$tmp/full/file"
expect_error 1 "*: not empty, *" keyfs mount "$store" "$tmp/full"
expect 0 "" keyfs mount -o nonempty "$store" "$tmp/full"
expect 0 "" keyfs umount "$tmp/full"
expect_error 1 "*: the directory holds other things*" \
	keyfs mount "$tmp/full" "$mnt"
expect_error 1 "*: store and mountpoint must not lie in one another" \
	keyfs mount "$tmp" "$mnt"

claim "a wrong option is named with what it needs"
expect_error 2 '*: no option "colour"*' keyfs mount -o colour "$store" "$mnt"
expect_error 2 '*: option memory is "lots"; it needs a size*' \
	keyfs mount -o memory=lots "$store" "$mnt"
expect_error 2 '*: option debug takes no value*' \
	keyfs mount -o debug=1 "$store" "$mnt"
expect_error 2 '*: option memory needs a size*' \
	keyfs mount -o rw,memory "$store" "$mnt"
expect_error 1 "*memory_bytes is 1024; it must be from 1048576 *" \
	keyfs mount -o memory=1K "$store" "$mnt"
expect_error 2 "*: needs a store and a mountpoint*" keyfs mount "$store"
expect_error 2 "*: no option -x*" keyfs mount -x "$store" "$mnt"

claim "the helper of mount(8) takes its command line"
ln -s "$KEYFS" "$tmp/mount.keyfs"
expect 0 "" "$tmp/mount.keyfs" "$store" "$mnt" \
	-o rw,noatime,nodiratime,nofail,x-systemd.automount,memory=8M
expect 0 "4" cat "$mnt/c"
grep -q "^$store $mnt fuse.keyfs .*noatime" /proc/self/mounts ||
	fail "$(grep "$mnt" /proc/self/mounts)"
expect 0 "" keyfs umount "$mnt"
expect_error 32 "*" "$tmp/mount.keyfs" "$store" "$tmp/nodir" -o rw
expect_error 1 "*" "$tmp/mount.keyfs" "$store"

claim "a mount becomes read-only and writable again"
expect 0 "" keyfs mount "$store" "$mnt"
expect 0 "" "$tmp/mount.keyfs" "$store" "$mnt" -f -o remount,ro
echo 4 >"$mnt/c" || fail "-f changed it"
# As mount(8) calls it, which has the words of the table of mounts.
expect 0 "" "$tmp/mount.keyfs" "$store" "$mnt" -o \
	rw,nosuid,nodev,relatime,user_id=0,group_id=0,default_permissions,remount,ro
! echo 5 2>/dev/null >"$mnt/c" || fail "it was written"
expect 0 "4" cat "$mnt/c"
grep -q "^$store $mnt fuse.keyfs ro,nosuid,nodev," /proc/self/mounts ||
	fail "$(grep "$mnt" /proc/self/mounts)"
expect 0 "" keyfs mount -o remount,rw -o noexec "$store" "$mnt"
grep -q "^$store $mnt fuse.keyfs rw,nosuid,nodev,noexec," /proc/self/mounts ||
	fail "$(grep "$mnt" /proc/self/mounts)"
echo 4 >"$mnt/c" || fail "it was not written"
expect 0 "" keyfs umount "$mnt"

claim "the helper of umount(8) takes its command line and waits too"
ln -s "$KEYFS" "$tmp/umount.fuse.keyfs"
expect 0 "" keyfs mount "$store" "$mnt"
expect 0 "" "$tmp/umount.fuse.keyfs" "$mnt" -v -t fuse.keyfs
expect 0 "4" keyfs get "$store" c
expect_error 32 "*: no store is mounted there" "$tmp/umount.fuse.keyfs" "$mnt"
expect_error 1 "*" "$tmp/umount.fuse.keyfs"
expect 0 "" keyfs mount "$store" "$mnt"
exec 5<"$mnt/c"
expect 0 "" "$tmp/umount.fuse.keyfs" -l "$mnt"
expect_error 4 "*: it is mounted, but not where this process can see it *" \
	keyfs get "$store" c
exec 5<&-
# The daemon learns of its last user's end, and closes the store, a moment later.
for ((i = 0; i < 300; i++)); do
	[[ -S $store/CTL ]] || break
	sleep 0.1
done
expect 0 "4" keyfs get "$store" c

claim "a misspelt command names the nearest"
expect_error 2 '*did you mean "mount"?*' keyfs mont
expect_error 2 "*no command*" keyfs
finish
