#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# fs_kill.sh - SIGKILL of the daemon under load, again and again: every operation
# that was answered is there, and nothing is half done.
#
# KEYFS_TEST_KILLS says how often, KEYFS_TEST_SEED where randomness begins.
. "${srcdir:-.}/tests/lib.sh" || exit 1

kills=${KEYFS_TEST_KILLS:-30}
seed=${KEYFS_TEST_SEED:-$((RANDOM * 32768 + RANDOM))}
store=$tmp/store
mnt=$tmp/mnt
mkdir "$mnt"
echo "KEYFS_TEST_SEED=$seed"
RANDOM=$((seed % 32768))

mount_store() {
	keyfs mount -o memory=4M "$store" "$mnt" ||
		{ fail "mount"; finish; }
}

# What a killed daemon leaves mounted.
clear_mount() {
	while mountpoint -q "$mnt" || ! stat "$mnt" >/dev/null 2>&1; do
		umount -l "$mnt" || break
	done
}

# Waits until nobody holds the store of a daemon that was killed.
wait_dead() {
	while is_running "$1"; do sleep 0.01; done
	clear_mount
}

# Kills a mount on its way: at the recovery, the mounting, or just after.
kill_a_mount() {
	local pid

	"$KEYFS" mount -f -o memory=4M "$store" "$mnt" 2>"$tmp/errors" &
	pid=$!
	sleep "0.0$((RANDOM % 6))$((RANDOM % 10))"
	kill -KILL "$pid" || fail "$(cat "$tmp/errors")"
	wait "$pid" 2>/dev/null
	clear_mount
}

check_store() {
	keyfs check "$store" >"$tmp/check" 2>&1 || fail "$(cat "$tmp/check")"
}

# One round: four writers, the kill, what is there, and what the round before
# left is there still.
kill_round() {
	local round=$1 pid

	mount_store
	pid=$(daemon_pid "$store")
	./tests/fs_writers run "$mnt/$round" "$tmp/$round" "$((seed + round))" \
		500 kill -KILL "$pid" || fail "see above"
	wait_dead "$pid"
	[[ $((round % 10)) -ne 3 ]] || kill_a_mount
	[[ $((round % 10)) -ne 7 ]] || check_store
	mount_store
	./tests/fs_writers verify killed "$mnt/$round" "$tmp/$round" \
		"$((seed + round))" || fail "round $round"
	verify_before "$round"
	keyfs umount "$mnt" || fail "umount"
}

verify_before() {
	local before=$(($1 - 1))

	[[ $before -gt 0 ]] || return
	./tests/fs_writers verify same "$mnt/$before" "$tmp/$before" \
		"$((seed + before))" || fail "round $1, the one before"
	rm -r "${mnt:?}/$before" "${tmp:?}/$before" || fail "rm -r"
}

claim "every operation that was answered survives, $kills times"
for ((round = 1; round <= kills && failures == 0; round++)); do
	kill_round "$round"
done

# Without another writer: its fsync would log the truncation by itself.
claim "a file replaced in place is never found empty"
for ((round = 1; round <= kills / 3 && failures == 0; round++)); do
	mount_store
	pid=$(daemon_pid "$store")
	./tests/fs_ops replace "$mnt/f" "$tmp/replaced-$round" &
	sleep "0.$((RANDOM % 3 + 1))"
	kill -KILL "$pid" || fail "the daemon could not be killed"
	wait_dead "$pid"
	wait
	mount_store
	./tests/fs_ops replaced "$mnt/f" "$tmp/replaced-$round" ||
		fail "round $round"
	rm "$mnt/f"
	keyfs umount "$mnt" || fail "umount"
done

claim "the tree is whole after that"
check_store

echo "cases: $kills"
finish
