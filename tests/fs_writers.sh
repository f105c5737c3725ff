#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# fs_writers.sh - the comparison that the kills and cuts rely on notices what is
# lost, on a directory that has lost nothing but what it is told to.
. "${srcdir:-.}/tests/lib.sh" || exit 1

seed=${KEYFS_TEST_SEED:-$((RANDOM * 32768 + RANDOM))}
echo "KEYFS_TEST_SEED=$seed"

writers() {
	./tests/fs_writers "$@"
}

# forgetting WRITER COUNT: leaves $tmp/less without the last steps of a writer.
forgetting() {
	rm -rf "$tmp/less"
	writers forget "$tmp/less" "$tmp/journals" "$seed" "$@" || fail "forget"
}

# notices HOW PATTERN
notices() {
	expect 1 "$(writers verify "$1" "$tmp/less" "$tmp/journals" "$seed")" \
		writers verify "$1" "$tmp/less" "$tmp/journals" "$seed"
	# shellcheck disable=SC2053 # a pattern is what the caller gives
	[[ $(writers verify "$1" "$tmp/less" "$tmp/journals" "$seed") == $2 ]] ||
		fail "$(writers verify "$1" "$tmp/less" "$tmp/journals" "$seed")"
}

# Whether each writer has steps to lose.
enough() {
	local writer

	for writer in 0 1 2 3; do
		rm -rf "$tmp/less"
		writers forget "$tmp/less" "$tmp/journals" "$seed" "$writer" 40 \
			>/dev/null || return
	done
}

claim "what lost nothing is found whole"
# On a busy machine one of them may not come to its turn for long.
for milliseconds in 200 2000 20000; do
	rm -rf "$tmp/dir" "$tmp/journals"
	writers run "$tmp/dir" "$tmp/journals" "$seed" "$milliseconds" true ||
		fail "run"
	enough && break
done
for how in killed cut same; do
	writers verify "$how" "$tmp/dir" "$tmp/journals" "$seed" || fail "$how"
done
forgetting 0 0
writers verify killed "$tmp/less" "$tmp/journals" "$seed" || fail "copy"

claim "one lost step of one writer is noticed after a kill"
for writer in 0 1 2 3; do
	forgetting "$writer" 1
	notices killed "writer $writer: of * changes * must be there; *"
done

claim "a writer that lost more than the others is a hole after a cut"
forgetting 2 40
notices cut "writer 2*"

claim "what was there at the last comparison and is not now is noticed"
forgetting 1 1
notices same "writer 1: not as it was*"

claim "other bytes, modes and names are noticed"
forgetting 0 0
file=$(find "$tmp/less" -type f -size +0 -print -quit)
printf X | dd of="$file" bs=1 conv=notrunc status=none
notices killed "*what is found was never there*"
forgetting 0 0
chmod 640 "$(find "$tmp/less" -type f -print -quit)"
notices killed "*what is found was never there*"
forgetting 0 0
: >"$tmp/less/w3/x/other"
expect 1 "$tmp/less/w3/x/: names that nobody made, or that cannot be found" \
	writers verify killed "$tmp/less" "$tmp/journals" "$seed"

finish
