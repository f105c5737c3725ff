#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# cli.sh - the command line says and does the same whether or not the store is
# mounted.
#
# The same scenario runs twice, on a store at rest and on a mounted one; each
# expectation holds both times, and at the end the two transcripts must be equal
# byte for byte.
. "${srcdir:-.}/tests/lib.sh"

store=$tmp/store
mnt=$tmp/mnt
mkdir "$mnt"

# Runs a command and adds what it said to the transcript, less the times.
transcribe() {
	{
		printf '$ %s\n' "$*"
		"$@"
		printf '= %d\n' $?
	} 2>&1 | sed -E 's/[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9:.]+Z?/TIME/g' \
		>>"$transcript"
}

# What the command line cannot make is made through a mount.
prepare() {
	rm -rf "$store"
	expect 0 "" keyfs mount "$store" "$mnt"
	mkdir -p "$mnt/many" "$mnt/deep/a/b/c"
	echo secret >"$mnt/secret"
	chmod 640 "$mnt/secret"
	ln -s secret "$mnt/link"
	ln -s deep "$mnt/deeplink"
	mkfifo "$mnt/fifo"
	printf 'x' >"$mnt/new
line"
	(cd "$mnt/many" && for i in {1..2500}; do : >"$i"; done)
	[[ $1 == mounted ]] || expect 0 "" keyfs umount "$mnt"
}

values() {
	claim "a value put is the value got, and its directories are made"
	expect 0 "" keyfs put "$store" app/db/host 10.0.0.1
	expect 0 "10.0.0.1" keyfs get "$store" app/db/host
	expect 0 "10.0.0.1" keyfs get "$store" /app//./db/host/

	claim "put replaces the old value"
	expect 0 "" keyfs put "$store" app/db/host 10.0.0.22
	expect 0 "10.0.0.22" keyfs get "$store" app/db/host
	expect 0 "" keyfs put "$store" app/db/host ""
	expect 0 "" keyfs get "$store" app/db/host

	claim "a value may begin with a dash"
	expect 0 "" keyfs put "$store" app/dash -5
	expect 0 "-5" keyfs get "$store" app/dash

	claim "standard input of any size and any bytes comes back"
	head -c 5000000 /dev/urandom >"$tmp/big"
	expect 0 "" keyfs put "$store" app/big <"$tmp/big"
	keyfs get "$store" app/big | cmp - "$tmp/big" || fail "app/big differs"
	expect 0 "" keyfs put "$store" app/none </dev/null
	expect 0 "" keyfs get "$store" app/none

	claim "put keeps the mode"
	expect 0 "" keyfs put "$store" secret changed
	expect 0 "changed" keyfs get "$store" secret
	keyfs ls -l "$store" | grep -q '^-rw-r-----.* secret$' ||
		fail "secret: $(keyfs ls -l "$store" | grep secret)"

	claim "a failed put leaves nothing behind"
	expect_error 1 "*: many: is a directory" keyfs put "$store" many x
	expect_error 3 "*: Not a directory" keyfs put "$store" secret/x/y z
	expect_error 1 "*: File name too long" \
		keyfs put "$store" "made/$(printf '%0256d' 0)" x
	! keyfs ls -R "$store" | grep -q 'keyfs-put\|^made' ||
		fail "a hidden file or directory is left"
}

refusals() {
	claim "what is not there has status 3"
	expect_error 3 "keyfs: get: nosuch: No such file or directory" \
		keyfs get "$store" nosuch
	expect_error 3 "*: Not a directory" keyfs get "$store" secret/below
	expect_error 3 "*" keyfs ls "$store" nosuch
	expect_error 3 "*" keyfs rm "$store" nosuch
	expect_error 3 "keyfs: get: $tmp/nostore: there is no store*" \
		keyfs get "$tmp/nostore" x

	claim "only regular files have a value"
	expect_error 1 "*: many: is a directory" keyfs get "$store" many
	expect_error 1 "*: /: is a directory" keyfs get "$store" /
	expect_error 1 "*: link: is a symbolic link*" keyfs get "$store" link
	expect_error 1 "*" keyfs get "$store" fifo
	expect_error 1 "*" keyfs put "$store" fifo x
	expect_error 1 "*: link: is a symbolic link*" keyfs put "$store" link x

	claim "no path leads out of the store"
	expect_error 1 "*" keyfs get "$store" ../etc/passwd
	expect_error 3 "*" keyfs get "$store" deeplink/a
}

listing() {
	claim "a listing is sorted by bytes, one entry a line"
	expect 0 "app
deep
deeplink
fifo
link
many
new
line
secret" keyfs ls "$store"
	expect 0 "secret" keyfs ls "$store" secret
	expect 0 "a
a/b
a/b/c" keyfs ls -R "$store" deep

	claim "the long and the JSON listing are the same through both doors"
	transcribe keyfs ls -l "$store" deep
	transcribe keyfs ls -l "$store" link
	transcribe keyfs ls -lR "$store" app
	transcribe keyfs ls --json -R "$store"
	transcribe keyfs ls --json "$store" deep/a/b/c
}

removal() {
	claim "rm removes files, and directories with -r only"
	expect 0 "" keyfs rm "$store" app/none
	expect_error 3 "*" keyfs get "$store" app/none
	expect_error 1 "*: many: is a directory" keyfs rm "$store" many
	expect 0 "" keyfs rm -r "$store" many
	expect_error 3 "*" keyfs ls "$store" many
	expect 0 "" keyfs rm "$store" link fifo

	claim "rm goes on after an error and reports it"
	expect 0 "" keyfs put "$store" one 1
	expect_error 3 "*: nosuch: *" keyfs rm "$store" nosuch one
	expect_error 3 "*" keyfs get "$store" one

	claim "the root stays"
	expect_error 1 "*" keyfs rm "$store" /
	expect_error 1 "*" keyfs rm -r "$store/" ""
}

whole() {
	claim "sync and stats answer"
	expect 0 "" keyfs sync "$store"
	keyfs stats "$store" | grep -q . || fail "no statistics"
	keyfs stats --json "$store" | grep -q '^{' || fail "no JSON"
}

for way in "at rest" mounted; do
	transcript=$tmp/transcript.${way// /-}
	prepare "$way"
	values
	refusals
	listing
	removal
	whole
	if [[ $way == mounted ]]; then
		claim "check refuses a mounted store"
		expect_error 4 "*: it is mounted; run \`keyfs umount $mnt\`*" \
			keyfs check "$store"
		expect 0 "" keyfs sync "$mnt"
		expect 0 "" keyfs umount "$mnt"
	fi
	claim "what the commands leave is sound"
	expect 0 "no damage found" keyfs check "$store"
done

claim "both ways give the same transcript"
diff "$tmp/transcript.at-rest" "$tmp/transcript.mounted" ||
	fail "the transcripts differ"
finish
