#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# cli_doctor.sh - what is said of the system that a store is to be mounted on.
. "${srcdir:-.}/tests/lib.sh"

store=$tmp/store
mnt=$tmp/mnt
mkdir "$mnt"
keyfs mount "$store" "$mnt" && keyfs umount "$mnt" || exit 1

# expect_finding STATUS PATTERN COMMAND...: a line of what is printed matches.
expect_finding() {
	local want=$1 pattern=$2 output status
	shift 2

	output=$("$@" 2>&1)
	status=$?
	[[ $status -eq $want ]] || fail "$*: status $status; $output"
	grep -qE "$pattern" <<<"$output" || fail "$*: no \"$pattern\" in: $output"
}

claim "a system that keyfs runs on has nothing that is bad"
expect_finding 0 '^ok +/dev/fuse can be opened$' keyfs doctor
expect_finding 0 '^ok +this user may mount' keyfs doctor
expect_finding 0 '^ok +libfuse 3\.' keyfs doctor

claim "a store is looked at, mounted or not"
expect_finding 0 '^ok +it opens, and knows no damage$' keyfs doctor "$store"
expect 0 "" keyfs mount "$store" "$mnt"
expect_finding 0 '^ok +it opens, and knows no damage$' keyfs doctor "$store"
expect 0 "" keyfs umount "$mnt"

claim "what is bad is said, with what to do, and is the status"
expect_finding 1 '^BAD +.*none: No such file' keyfs doctor "$tmp/none"
expect_finding 1 'keyfs mount. makes a store' keyfs doctor "$tmp/none"
cp -r "$store" "$tmp/damaged"
printf 'xxxx' | dd of="$tmp/damaged/CURRENT" bs=1 conv=notrunc status=none
expect_finding 1 '^BAD +it does not open: ' keyfs doctor "$tmp/damaged"
mkdir "$tmp/bin"
if [[ $EUID -eq 0 ]]; then
	chmod 755 "$tmp"
	expect_finding 1 '^BAD +this user may not mount' setpriv --reuid 1001 \
		--regid 1001 --clear-groups env PATH="$tmp/bin" "$KEYFS" doctor
fi

claim "what could be better is a note"
expect_finding 0 '^note +500 files may be open: a store can grow to some 15 GiB' \
	prlimit --nofile=100:500 "$KEYFS" doctor
if [[ $(stat -f -c %T /dev/shm 2>/dev/null) == tmpfs && -w /dev/shm ]]; then
	shm=$(mktemp -d /dev/shm/keyfs-test.XXXXXX)
	expect_finding 0 '^note +.* lies on tmpfs: it is gone at the next boot' \
		keyfs doctor "$shm"
	rm -r "$shm"
fi

claim "programs get the same as JSON"
keyfs doctor --json "$store" >"$tmp/json"
[[ $(head -n 1 "$tmp/json") == "[" && $(tail -n 1 "$tmp/json") == "]" ]] ||
	fail "$(cat "$tmp/json")"
[[ $(grep -c '"level": "ok", "what": "' "$tmp/json") -ge 5 ]] ||
	fail "$(cat "$tmp/json")"
expect_error 2 "*one store at a time*" keyfs doctor a b
finish
