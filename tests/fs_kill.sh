#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# fs_kill.sh - SIGKILL of the daemon under load, again and again: every operation
# that was answered is there, and nothing is half done.
. "${srcdir:-.}/tests/lib.sh" || exit 1

rounds=${KEYFS_TEST_ROUNDS:-20}
writers=3
store=$tmp/store
mnt=$tmp/mnt
mkdir "$mnt"

start_round() {
	keyfs mount -o memory=4M "$store" "$mnt" ||
		{ fail "mount"; finish; }
}

kill_daemon() {
	local pid

	pid=$(daemon_pid "$store")
	if ! kill -KILL "$pid"; then
		fail "the daemon could not be killed"
		finish
	fi
	while is_running "$pid"; do sleep 0.02; done
	wait
	umount -l "$mnt"
}

claim "every operation that was answered survives, $rounds times"
for ((round = 1; round <= rounds && failures == 0; round++)); do
	start_round
	for ((w = 0; w < writers; w++)); do
		mkdir "$mnt/$round-$w" || fail mkdir
		./tests/fs_ops work "$mnt/$round-$w" "$tmp/$round-$w" &
	done
	sleep "0.$((RANDOM % 6 + 2))"
	kill_daemon
	start_round
	for ((w = 0; w < writers; w++)); do
		./tests/fs_ops verify "$mnt/$round-$w" "$tmp/$round-$w" ||
			fail "round $round, writer $w"
	done
	rm -r "${mnt:?}/"* || fail "rm -r"
	keyfs umount "$mnt" || fail "umount"
done

# Without another writer: its fsync would log the truncation by itself.
claim "a file replaced in place is never found empty"
for ((round = 1; round <= rounds / 2 && failures == 0; round++)); do
	start_round
	./tests/fs_ops replace "$mnt/f" "$tmp/replaced-$round" &
	sleep "0.$((RANDOM % 3 + 1))"
	kill_daemon
	start_round
	./tests/fs_ops replaced "$mnt/f" "$tmp/replaced-$round" ||
		fail "round $round"
	rm "$mnt/f"
	keyfs umount "$mnt" || fail "umount"
done

claim "the tree is whole after that"
keyfs check "$store" >"$tmp/check" || fail "$(cat "$tmp/check")"

finish
