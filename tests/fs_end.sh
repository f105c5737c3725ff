#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# fs_end.sh - mappings, syncs, and the end of a busy mount: nothing is lost.
. "${srcdir:-.}/tests/lib.sh" || exit 1

store=$tmp/store
mnt=$tmp/mnt
mkdir "$mnt"

wait_gone() {
	for _ in {1..1200}; do
		is_running "$1" || return 0
		sleep 0.1
	done
	fail "the daemon does not end"
}

keyfs mount "$store" "$mnt" || exit 1

claim "a large mapped file is written back whole"
./tests/fs_ops map "$mnt/mapped" 32 || fail "see above"

claim "64 files synced at once are all durable"
mkdir "$mnt/syncs"
./tests/fs_ops fsyncs "$mnt/syncs" 64 || fail "see above"
expect 0 "64" sh -c "ls '$mnt/syncs' | wc -l"

claim "TERM writes back a mapped, dirty, open file and serves its user"
pid=$(daemon_pid "$store")
mkfifo "$tmp/end"
./tests/fs_ops hold "$mnt/held" 8 <"$tmp/end" >"$tmp/hold.out" &
exec 4>"$tmp/end"
for _ in {1..600}; do
	grep -q mapped "$tmp/hold.out" && break
	sleep 0.1
done
kill -TERM "$pid"
for _ in {1..600}; do
	mountpoint -q "$mnt" || break
	sleep 0.1
done
mountpoint -q "$mnt" && fail "still mounted"
exec 4>&-
wait $! || fail "hold: $(cat "$tmp/hold.out")"
wait_gone "$pid"
expect 0 "" keyfs mount "$store" "$mnt"
./tests/fs_ops compare "$mnt/held" 8 || fail "see above"
./tests/fs_ops compare "$mnt/mapped" 32 || fail "see above"
expect 0 "64" sh -c "ls '$mnt/syncs' | wc -l"

claim "users of a daemon that is stopped wait, and lose nothing"
pid=$(daemon_pid "$store")
mkdir "$mnt/stopped"
for i in {1..40}; do
	echo "$i" >"$mnt/stopped/$i" && sync "$mnt/stopped/$i" || exit 1
	sleep 0.05
done &
writer=$!
sleep 0.5
kill -STOP "$pid"
sleep "${KEYFS_TEST_STOP_SECONDS:-2}"
kill -0 "$writer" || fail "the writer has not waited"
kill -CONT "$pid"
wait "$writer" || fail "a write has failed"
for i in {1..40}; do
	expect 0 "$i" cat "$mnt/stopped/$i"
done

claim "an idle mount uses no processor time"
pid=$(daemon_pid "$store")
sleep 0.5
used() {
	awk '{ print $14 + $15 }' "/proc/$pid/stat"
}
before=$(used)
sleep 2
after=$(used)
[[ $((after - before)) -le 1 ]] || fail "$before, then $after ticks"

expect 0 "" keyfs umount "$mnt"
finish
