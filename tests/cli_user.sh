#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# cli_user.sh - an ordinary user may do the same whether or not the store is
# mounted: on a store at rest keyfs makes the checks that the kernel makes on a
# mount.
#
# Run by root it becomes "nobody", with copies of what it needs, as a build below
# a closed home directory is out of that user's reach.
if [[ $EUID -eq 0 ]]; then
	outer=$(mktemp -d "${TMPDIR:-/tmp}/keyfs-user.XXXXXX") || exit 1
	trap 'rm -rf "$outer"' EXIT
	mkdir "$outer/tests"
	cp "${KEYFS:?}" "$0" "$outer" &&
		cp "${srcdir:-.}/tests/lib.sh" "$outer/tests" &&
		chown -R 65534:65534 "$outer" && cd "$outer" || exit 1
	export KEYFS=$outer/keyfs TMPDIR=$outer srcdir=$outer HOME=$outer
	as_nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups
		--inh-caps=-all bash "./${0##*/}")
	if [[ $(stat -c %a /dev/fuse) == 666 ]]; then
		"${as_nobody[@]}"
	else
		# Closed to users, as in many containers: a device of our own, in
		# a mount namespace that ends with the test.
		mknod -m 666 "$outer/fuse" c 10 229 || exit 1
		# shellcheck disable=SC2016 # sh expands it
		unshare --mount sh -c 'mount --bind "$0" /dev/fuse && "$@"' \
			"$outer/fuse" "${as_nobody[@]}"
	fi
	exit
fi
. "${srcdir:-.}/tests/lib.sh"

store=$tmp/store
mnt=$tmp/mnt
mkdir "$mnt"
umask 022

prepare() {
	rm -rf "$store"
	expect 0 "" keyfs mount "$store" "$mnt"
	(
		cd "$mnt" || exit
		mkdir open noread nosearch nowrite
		echo secret >open/none
		echo locked >open/readonly
		for dir in noread nosearch nowrite; do
			echo "$dir" >$dir/file
		done
		chmod 000 open/none
		chmod 400 open/readonly
		chmod 333 noread
		chmod 666 nosearch
		chmod 555 nowrite
	)
	[[ $1 == mounted ]] || expect 0 "" keyfs umount "$mnt"
}

# shellcheck disable=SC2317 # called through expect
mode_of() {
	keyfs ls -l "$store" "$1" | cut -c 1-10
}

for way in "at rest" mounted; do
	prepare "$way"

	claim "what is made takes the umask ($way)"
	(umask 027 && keyfs put "$store" made/below/file x) || fail "put"
	expect 0 "-rw-r-----" mode_of made/below/file
	expect 0 "drwxr-x---" mode_of made

	claim "reading needs permission ($way)"
	expect_error 1 "*: Permission denied" keyfs get "$store" open/none
	expect_error 1 "*: Permission denied" keyfs ls "$store" noread
	expect 0 "noread" keyfs get "$store" noread/file
	expect_error 1 "*: Permission denied" keyfs get "$store" nosearch/file
	expect 0 "file" keyfs ls "$store" nosearch
	expect_error 1 "*: Permission denied" keyfs ls -l "$store" nosearch

	claim "changing a directory needs permission ($way)"
	expect_error 1 "*: Permission denied" keyfs put "$store" nowrite/new x
	expect_error 1 "*: Permission denied" keyfs put "$store" nowrite/file x
	expect_error 1 "*: Permission denied" keyfs put "$store" nowrite/d/e x
	expect_error 1 "*: Permission denied" keyfs rm "$store" nowrite/file
	expect_error 1 "*: Permission denied" keyfs rm -r "$store" nowrite
	expect 0 "nowrite" keyfs get "$store" nowrite/file

	claim "put replaces a file that cannot be written, and keeps its mode ($way)"
	expect 0 "" keyfs put "$store" open/readonly new
	expect 0 "new" keyfs get "$store" open/readonly
	expect 0 "-r--------" mode_of open/readonly

	[[ $way == "at rest" ]] || expect 0 "" keyfs umount "$mnt"
done

claim "a user's mount runs nothing set-id and opens no devices, asked or not"
for options in rw suid,dev; do
	expect 0 "" keyfs mount -o "$options" "$store" "$mnt"
	grep -q "^$store $mnt fuse.keyfs .*nosuid,nodev" /proc/self/mounts ||
		fail "$(grep " $mnt " /proc/self/mounts)"
	expect 0 "" keyfs umount "$mnt"
done

claim "the umask makes no difference, not even one that denies all"
rm -rf "$store"
(umask 0777 && exec "$KEYFS" mount "$store" "$mnt") || fail "mount"
(umask 0777 && exec "$KEYFS" put "$store" file x) || fail "put"
expect 0 "----------" mode_of file
expect 0 "" keyfs umount "$mnt"

claim "the store is its owner's only"
[[ $(stat -c %a "$store") == 700 ]] || fail "mode $(stat -c %a "$store")"
[[ -z $(find "$store" -type f ! -perm 600) ]] ||
	fail "$(find "$store" -type f ! -perm 600)"
finish
