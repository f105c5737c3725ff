#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# completion.sh - the shells offer what `keyfs help` lists, and nothing else; the
# manual has it too.
#
# bash's completion is called as readline calls it; zsh, which need not be there, is
# not run: the words of its file are compared.
. "${srcdir:-.}/tests/lib.sh"
# shellcheck source=contrib/completion/keyfs.bash
. "${srcdir:-.}/contrib/completion/keyfs.bash"

zsh=${srcdir:-.}/contrib/completion/_keyfs
store=$tmp/store

# It works within a completion only.
compopt() {
	:
}

# offered WORD...: what is offered for the last of them.
offered() {
	COMP_WORDS=("$@")
	COMP_CWORD=$(($# - 1))
	_keyfs
	[[ ${#COMPREPLY[@]} -eq 0 ]] || printf '%s\n' "${COMPREPLY[@]}"
}

# same WHAT WANTED FOUND: the same lines, in any order.
same() {
	diff <(sort <<<"$2") <(sort <<<"$3") >"$tmp/diff" ||
		fail "$1: < in help, > offered:"$'\n'"$(cat "$tmp/diff")"
}

help_commands() {
	keyfs help | sed -n 's/^  \([a-z]\+\) .*/\1/p'
}

# With a '=' behind those that take a value.
help_mount_options() {
	keyfs help mount | sed -n -e 's/^  \([a-z_]\+=\?\).*/\1/p' \
		-e '/^Of the kernel: / { s///; s/ /\n/g; p }'
}

help_options() {
	keyfs help "$1" | head -n 1 | grep -oE '\[--?[A-Za-z]+' | tr -d '['
}

zsh_mount_options() {
	sed -n -e "/_values/,/^}/ s/^\t\t'\([a-z_]*\)\[[^]]*\]\(:\?\).*/\1\2/" \
		-e 't found' -e b -e ': found' -e 's/:/=/p' -e 't' -e p "$zsh"
}

zsh_options() {
	awk -v arm="$1)" '$1 == arm { on = 1 } on { print } /;;/ { on = 0 }' "$zsh" |
		grep -oE -- "'\*?--?[A-Za-z]+\[" | tr -d "'*["
}

claim "help lists what this test compares with"
[[ $(help_commands) == *mount*repair* ]] || fail "$(help_commands)"
[[ $(help_mount_options) == *memory=*noatime* ]] || fail "$(help_mount_options)"

claim "every command is offered, and no other"
same bash "$(help_commands)" "$(offered keyfs "" | grep -v '^--')"
same "bash, help" "$(help_commands)" "$(offered keyfs help "")"
same zsh "$(help_commands)" \
	"$(sed -n "/commands=(/,/)$/ s/^\t\t'\([a-z]*\):.*/\1/p" "$zsh")"

claim "every mount option is offered, and no other"
same bash "$(help_mount_options)" "$(offered keyfs mount -o "")"
same "bash, in a list" "$(help_mount_options | sed 's/^/ro,/')" \
	"$(offered keyfs mount -o ro,)"
same zsh "$(help_mount_options)" "$(zsh_mount_options)"

claim "the manual has every mount option"
for option in $(help_mount_options); do
	grep -qw "^\.It.* ${option%=}" "${srcdir:-.}/src/mount.keyfs.8" ||
		fail "not $option"
done

claim "every option of a command is offered, and no other"
for command in $(help_commands); do
	same "bash, $command" "$(help_options "$command")" \
		"$(offered keyfs "$command" -)"
	same "zsh, $command" "$(help_options "$command")" \
		"$(zsh_options "$command")"
done

claim "what was begun is completed, also where readline breaks a word"
expect 0 mount offered keyfs mo
expect 0 --version offered keyfs --v
expect 0 commit_interval= offered keyfs mount -o comm
expect 0 ro,commit_interval= offered keyfs mount -f -o ro,comm
expect 0 $'lz4\nnone' offered keyfs mount -o compression =
expect 0 off offered keyfs mount -o ro,scrub = o
expect 0 64M,lock_wait= offered keyfs mount -o memory = 64M,lo
expect 0 "" offered keyfs mount -o memory = 6

claim "directories are offered for stores and mountpoints, and nothing for a value"
mkdir "$tmp/dir" "$tmp/dir/a b" "$tmp/dir/c:d"
: >"$tmp/dir/file"
same mount "$tmp/dir/a b"$'\n'"$tmp/dir/c:d" \
	"$(offered keyfs mount -o ro "$tmp/dir/")"
expect 0 "$tmp/dir/a b" offered keyfs mount "$tmp/dir" "$tmp/dir/a"
expect 0 "d" offered keyfs check "$tmp/dir/c" : d
expect 0 "" offered keyfs mount "$tmp/dir" "$tmp/dir" "$tmp/"
expect 0 "" offered keyfs put "$tmp/dir" x "$tmp/"

claim "what is in a store is offered for a path"
ln -s "$KEYFS" "$tmp/mkfs.keyfs"
expect 0 "" "$tmp/mkfs.keyfs" -q "$store"
expect 0 "" keyfs put "$store" app/db/host 10.0.0.1
expect 0 "" keyfs put "$store" "app/my key" 1
expect 0 "app/" offered keyfs get "$store" ""
expect 0 $'app/db/\napp/my key' offered keyfs get "$store" app/
expect 0 "app/my key" offered keyfs ls -l "$store" 'app/my\ '
expect 0 "app/db/host" offered keyfs rm "$store" other app/db/h
expect 0 "" offered keyfs get "$tmp/dir" ""
finish
