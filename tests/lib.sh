# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# lib.sh - what the tests of a mounted store share.
#
# Sourced by tests/*.sh.  $KEYFS is the program; make check sets it.  Everything
# happens in $tmp, which is unmounted and removed at the end, whatever happens.
# A test says what it claims, then shows it:
#
#	claim "a value put is the value got"
#	expect 0 "10.0.0.1" keyfs get "$store" host

set -u
: "${KEYFS:?run by \`make check\`, or set it to the keyfs program}"
tmp=$(mktemp -d "${TMPDIR:-/tmp}/keyfs-test.XXXXXX") || exit 1
claims=0
failures=0
claimed=

keyfs() {
	"$KEYFS" "$@"
}

cleanup_mounts() {
	local mountpoint

	while read -r _ mountpoint _; do
		case $mountpoint in
		"$tmp"/*) umount -l "$mountpoint" 2>/dev/null ||
			fusermount3 -uqz "$mountpoint" ;;
		esac
	done </proc/self/mounts
}

cleanup() {
	cleanup_mounts
	rm -rf "$tmp"
}
trap cleanup EXIT
trap 'exit 1' HUP INT TERM

# share_of N: that many, or an Nth of them where KEYFS_TEST_PART says so, at least one.
# With sanitizers contrib/check does a part of what it does without.
share_of() {
	local part=${KEYFS_TEST_PART:-1}

	echo $((($1 + part - 1) / part))
}

claim() {
	claims=$((claims + 1))
	claimed=$1
}

fail() {
	failures=$((failures + 1))
	printf 'FAIL: %s: %s\n' "$claimed" "$*"
}

# expect STATUS OUTPUT COMMAND...: the exit status and what goes to standard
# output; what goes to standard error is left in $errors.
expect() {
	local want_status=$1 want_output=$2 output status
	shift 2

	output=$("$@" 2>"$tmp/errors")
	status=$?
	errors=$(cat "$tmp/errors")
	[[ $status -eq $want_status ]] ||
		fail "$*: status $status, not $want_status; $errors"
	[[ $output == "$want_output" ]] ||
		fail "$*: output \"$output\", not \"$want_output\""
}

# expect_error STATUS PATTERN COMMAND...: fails with a message that matches.
expect_error() {
	local status=$1 pattern=$2
	shift 2

	expect "$status" "" "$@"
	# shellcheck disable=SC2053 # a pattern is what the caller gives
	[[ $errors == $pattern ]] ||
		fail "$*: message \"$errors\", not \"$pattern\""
}

# The process that serves a store, as the store's LOCK names it.
daemon_pid() {
	sed -n 's/^pid \([0-9]\+\)$/\1/p' "$1/LOCK"
}

# A process that has ended may stay a zombie for a while; one that was killed holds
# its files until the last of its threads has ended.
is_running() {
	cat "/proc/$1/task/"*/stat 2>/dev/null | grep -q ') [^XZ] '
}

# The end of every test: the exit status says how it went.
finish() {
	printf '%d claims, %d failures\n' "$claims" "$failures"
	[[ $claims -gt 0 && $failures -eq 0 ]]
	exit
}
