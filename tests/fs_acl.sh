#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# fs_acl.sh - access control lists on a mounted store, and the same on ext4.
#
# KEYFS_TEST_STEPS says how many random changes are made, KEYFS_TEST_SEED which.
. "${srcdir:-.}/tests/lib.sh" || exit 1
. "${srcdir:-.}/tests/disk.sh" || exit 1

steps=${KEYFS_TEST_STEPS:-$(share_of 60)}
RANDOM=${KEYFS_TEST_SEED:-$$}
seed=${KEYFS_TEST_SEED:-$$}
store=$tmp/store
mnt=$tmp/mnt
mkdir "$mnt"
chmod 755 "$tmp"
disk_make ext4 64M
mkdir -m 755 "$disk/d"
keyfs mount -o acl,allow_other "$store" "$mnt" || exit 1
mkdir -m 755 "$mnt/d"
echo "seed $seed"

# both COMMAND...: the same in either directory; it prints the same and ends the same.
both() {
	local want got

	want=$(cd "$disk/d" && "$@" 2>&1; echo "status $?")
	got=$(cd "$mnt/d" && "$@" 2>&1; echo "status $?")
	[[ $want == "$got" ]] ||
		fail "$(printf '%s\n%s\n' "$*: on ext4, and here:" \
			"$(diff <(echo "$want") <(echo "$got"))")"
}

# As that user, in a group of the same number.
# shellcheck disable=SC2317 # both calls it
as() {
	local user=$1
	shift

	setpriv --reuid "$user" --regid "$user" --clear-groups "$@"
}

# All that anybody can see of the rights in a directory.
# shellcheck disable=SC2317 # both calls it
look() {
	find . ! -type l | sort | getfacl -n - 2>&1
	find . -exec stat -c '%n %a %u %g' {} + | sort
	find . | sort | xargs getfattr -h -m system 2>&1
	for user in 1001 1002 1003; do
		# shellcheck disable=SC2016
		as "$user" find . ! -type l -exec sh -c 'for f; do
			test -r "$f"; r=$?; test -w "$f"; w=$?; test -x "$f"
			echo "$f $r $w $?"; done' sh {} +
	done 2>&1 | sort
}

claim "lists are set, shown, obeyed and removed as on ext4"
both touch f
both chmod 640 f
both setfacl -m u:1001:rw,g:1002:r f
both look
both as 1001 sh -c 'echo x >>f'
both as 1002 cat f
both as 1002 sh -c 'echo x >>f'
both as 1003 cat f
both setfacl -x u:1001 f
both as 1001 cat f
both setfacl -b f
both setfacl -b f
both setfacl -k f
both look

claim "a list that says what a mode can say is the mode"
both setfacl -m u::rwx,g::r,o::- f
both look

claim "chmod changes the mask, and the list the mode"
both setfacl -m u:1001:rwx,g::rx f
both chmod 700 f
both look
both chmod 2775 f
both look

claim "only the owner may set one, and who is not in the group loses its bit"
both as 1003 setfacl -m u:1003:rwx f
both chown 1003:1002 f
both chmod 2770 f
both as 1003 setfacl -m u:1001:r f
both look

claim "new objects inherit, whatever the umask is; without a default it counts"
both mkdir -m 750 dir
both setfacl -d -m u:1001:rwx,g:1002:rx,m::rwx dir
both sh -c 'umask 077; mkdir dir/sub; touch dir/file; mkfifo dir/pipe
	ln -s x dir/link; touch file; mkdir -m 777 plain; mkdir dir/sub/sub'
both look
both setfacl -d -m o::rwx f
both sh -c 'setfacl -m u:1001:r dir/link; getfacl -n dir/link'

claim "what copies lists finds and makes them"
both sh -c 'cp -a dir copy && tar --acls -cf t.tar dir && rm -r dir &&
	tar --acls -xpf t.tar && rm t.tar'
both look

claim "lists that are none are refused"
both setfattr -n system.posix_acl_access -v 0x0200000001000700 f
both setfattr -n system.posix_acl_access -v 0x02 f
both setfattr -n system.posix_acl_default -v 0x0300000001000700ffffffff f
both look

# One of the arguments.
any() {
	shift $((RANDOM % $#))
	echo "$1"
}

entries() {
	any "u:$(any 1001 1002):$(any rwx rx r -)" "g:$(any 1001 1003):$(any rw x -)" \
		"m::$(any rwx rx r w -)" "u::$(any rwx rw r)" "g::$(any rwx r -)" \
		"o::$(any rx r -)" "u:1003:r,g:1002:rwx" "u::rwx,g::rx,o::-"
}

# A change, as the words of a command.
change() {
	local object
	object=$(any f file dir dir/sub dir/file plain copy copy/sub new.1 new.2 new.3)

	case $((RANDOM % 10)) in
	0 | 1) echo "setfacl -m $(entries) $object" ;;
	2) echo "setfacl -d -m $(entries) $(any dir dir/sub plain copy)" ;;
	3) echo "setfacl $(any -b -k) $object" ;;
	4) echo "setfacl -x $(any u:1001 g:1003 m:) $object" ;;
	5) echo "chmod $(any 0 700 640 755 777 2750 1777 4711) $object" ;;
	6) echo "as $(any 1001 1002 1003) chmod $(any 700 2770 777) $object" ;;
	7) echo "chown $(any 1001 1002 1003):$(any 1001 1002 1003) $object" ;;
	8) echo "mkdir -p $(any . dir dir/sub plain copy)/new.$((RANDOM % 4))" ;;
	9) echo "as $(any 1001 1002 1003) touch" \
		"$(any . dir dir/sub plain copy)/made.$((RANDOM % 4))" ;;
	esac
}

claim "random changes of rights are what they are on ext4"
for ((i = 0; i < steps && failures == 0; i++)); do
	umask "$(any 0 022 077 027)"
	read -ra words <<<"$(change)"
	both "${words[@]}"
	((i % 10)) || both look
	[[ $failures -eq 0 ]] || fail "at change $i of seed $seed: ${words[*]}"
done
umask 022
both look

claim "they are there after the next mount, and hidden where none are wanted"
keyfs umount "$mnt" || fail "umount"
keyfs mount -o acl,allow_other "$store" "$mnt" || exit 1
both look
keyfs umount "$mnt" || fail "umount"
keyfs mount "$store" "$mnt" || exit 1
expect 0 "" getfattr -hR -m system "$mnt/d"
chmod 700 "$mnt/d/f" "$disk/d/f"
expect_error 1 "*not supported" setfacl -m u:1001:r "$mnt/d/f"
keyfs umount "$mnt" || fail "umount"
keyfs mount -o acl,allow_other "$store" "$mnt" || exit 1
both look
keyfs umount "$mnt" || fail "umount"
expect_error 2 "*acl and noxattr*" keyfs mount -o acl,noxattr "$store" "$mnt"

claim "the tree is whole after that"
keyfs check "$store" >"$tmp/check" || fail "$(cat "$tmp/check")"

echo "cases: $steps"
finish
