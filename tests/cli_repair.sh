#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# cli_repair.sh - check says which files a damage is in, and repair saves the rest.
. "${srcdir:-.}/tests/lib.sh"

store=$tmp/store
mnt=$tmp/mnt
mkdir "$mnt"

# flip FILE OFFSET: changes one byte.
flip() {
	local byte

	byte=$(od -An -tu1 -j "$2" -N 1 "$1")
	# shellcheck disable=SC2059 # the format is the byte
	printf "$(printf '\\x%02x' $((byte ^ 1)))" |
		dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

largest_table() {
	# shellcheck disable=SC2012 # names are numbers
	ls -S "$store"/*.sst | head -n 1
}

claim "a whole store has nothing to repair"
keyfs mount "$store" "$mnt" && keyfs umount "$mnt"
keyfs put "$store" keep/first "the first"
keyfs put "$store" keep/deep/second "the second"
head -c 3000000 /dev/urandom >"$tmp/big"
keyfs put "$store" lost/big <"$tmp/big"
keyfs put "$store" keep/third "the third"
expect 0 "no damage found" keyfs check "$store"
expect 0 "[]" keyfs check --json "$store"
expect 0 "no damage found: nothing to repair" keyfs repair "$store"
[[ ! -e $store.damaged-1 ]] || fail "a damaged store was kept"

claim "a store of keys without files is no damaged filesystem"
./tests/fs_ops keys "$tmp/keys" 100
expect 0 "no damage found; it holds keys, and no files" keyfs check "$tmp/keys"
expect 0 "no damage found: nothing to repair" keyfs repair "$tmp/keys"

claim "check says which file lies in the damage"
table=$(largest_table)
flip "$table" $(($(stat -c %s "$table") / 2))
keyfs check "$store" >"$tmp/out" 2>"$tmp/err"
[[ $? -eq 5 ]] || fail "check: status is not 5"
grep -q "^${table##*/}: offset [0-9]*: " "$tmp/out" || fail "$(cat "$tmp/out")"
grep -q '^lost/big: 16384 bytes of its contents are lost' "$tmp/out" ||
	fail "$(cat "$tmp/out" "$tmp/err")"
! grep -q '^keep' "$tmp/out" || fail "$(cat "$tmp/out")"

claim "programs get the same as JSON"
expect_error 3 "*there is no store*" keyfs check --json "$tmp/none"
keyfs check --json "$store" >"$tmp/json" 2>"$tmp/err"
[[ $? -eq 5 ]] || fail "check: status is not 5"
[[ $(head -n 1 "$tmp/json") == "[" && $(tail -n 1 "$tmp/json") == "]" ]] ||
	fail "$(cat "$tmp/json")"
grep -q "^  {\"file\": \"${table##*/}\", \"offset\": [0-9]*, \"why\": \"" \
	"$tmp/json" || fail "$(cat "$tmp/json")"
grep -q '^  {"path": "lost/big", "why": "16384 bytes' "$tmp/json" ||
	fail "$(cat "$tmp/json")"
[[ $(grep -c '},$' "$tmp/json") -eq $(($(grep -c '^  {' "$tmp/json") - 1)) ]] ||
	fail "$(cat "$tmp/json")"
cp -a "$store" "$tmp/original"

claim "a repair that is killed leaves the damaged store or the repaired one"
for delay in 0.005 0.01 0.02 0.03 0.05 0.08 0.1 0.15 0.2 0.3 0.5 1 3; do
	rm -rf "$tmp"/victim*
	cp -a "$tmp/original" "$tmp/victim"
	timeout -s KILL "$delay" "$KEYFS" repair "$tmp/victim" \
		>/dev/null 2>&1
	diff -r "$tmp/original" "$tmp/victim" >"$tmp/diff" 2>&1 ||
		expect 0 "no damage found" keyfs check "$tmp/victim"
done

claim "repair saves the rest and keeps the damaged store"
keyfs repair "$store" >"$tmp/out" 2>"$tmp/err" ||
	fail "repair: $(cat "$tmp/out" "$tmp/err")"
grep -q '^lost/big: 16384 bytes' "$tmp/out" || fail "$(cat "$tmp/out")"
[[ $(tail -n 1 "$tmp/out") == *"kept in $store.damaged-1" ]] ||
	fail "$(tail -n 1 "$tmp/out")"
expect 0 "no damage found" keyfs check "$store"
expect 0 "the first" keyfs get "$store" keep/first
expect 0 "the second" keyfs get "$store" keep/deep/second
expect 0 "the third" keyfs get "$store" keep/third
keyfs get "$store" lost/big >"$tmp/got"
[[ $(stat -c %s "$tmp/got") -eq 3000000 ]] || fail "lost/big has another size"
different=$(cmp -l "$tmp/big" "$tmp/got" | wc -l)
[[ $different -gt 0 && $different -le 16384 ]] ||
	fail "lost/big differs in $different bytes"
diff -r "$tmp/original" "$store.damaged-1" >/dev/null ||
	fail "the damaged store was changed"

claim "a store that cannot be opened is saved"
rm "$store/CURRENT"
keyfs check "$store" >"$tmp/out" 2>&1
[[ $? -eq 5 ]] || fail "check: status is not 5"
grep -q '^CURRENT: ' "$tmp/out" || fail "$(cat "$tmp/out")"
expect 5 "" keyfs get "$store" keep/first
keyfs repair "$store" >"$tmp/out" 2>&1 || fail "repair: $(cat "$tmp/out")"
expect 0 "no damage found" keyfs check "$store"
expect 0 "the third" keyfs get "$store" keep/third
[[ -d $store.damaged-2 ]] || fail "the damaged store is not kept"

claim "fsck.keyfs has the exit statuses of fsck(8)"
ln -s "$KEYFS" "$tmp/fsck.keyfs"
expect 0 "no damage found" "$tmp/fsck.keyfs" "$store"
expect 0 "" "$tmp/fsck.keyfs" -a -C 0 "$tmp/none"
expect_error 16 "*no option -x*" "$tmp/fsck.keyfs" -x "$store"
expect_error 16 "*needs one store*" "$tmp/fsck.keyfs"
expect_error 8 "*there is no store*" "$tmp/fsck.keyfs" "$tmp/none"
rm "$store/CURRENT"
"$tmp/fsck.keyfs" -f -p "$store" >"$tmp/out" 2>&1
[[ $? -eq 4 ]] || fail "fsck -p: status is not 4"
"$tmp/fsck.keyfs" -n -y "$store" >"$tmp/out" 2>&1
[[ $? -eq 4 ]] || fail "fsck -n -y: status is not 4"
"$tmp/fsck.keyfs" -y "$store" >"$tmp/out" 2>&1
[[ $? -eq 1 ]] || fail "fsck -y: status is not 1"
expect 0 "no damage found" "$tmp/fsck.keyfs" "$store"

claim "mkfs.keyfs makes a store, and none over another"
ln -s "$KEYFS" "$tmp/mkfs.keyfs"
expect 0 "made an empty store in $tmp/new" "$tmp/mkfs.keyfs" "$tmp/new"
expect 0 "" keyfs ls "$tmp/new"
expect 0 "no damage found" keyfs check "$tmp/new"
expect 0 "" keyfs put "$tmp/new" a 1
expect_error 8 "*there is a store already; nothing was changed" \
	"$tmp/mkfs.keyfs" "$tmp/new"
expect 0 "1" keyfs get "$tmp/new" a
expect 0 "" "$tmp/mkfs.keyfs" -q "$tmp/quiet"
expect_error 8 "*holds other things and no store*" "$tmp/mkfs.keyfs" "$tmp"
expect_error 16 "*needs one store*" "$tmp/mkfs.keyfs"
expect_error 16 "*no option -t*" "$tmp/mkfs.keyfs" -t x

claim "a mounted store is not repaired"
expect 0 "" keyfs mount "$store" "$mnt"
expect_error 4 "*it is mounted*" keyfs repair "$store"
expect_error 8 "*it is mounted*" "$tmp/fsck.keyfs" -y "$store"
expect 0 "" keyfs umount "$mnt"
expect_error 3 "*there is no store*" keyfs repair "$tmp/none"

finish
