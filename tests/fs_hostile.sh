#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# fs_hostile.sh - stores and users that mean harm: what they put in the way is
# refused with its own reason, never followed, and nothing of a file's name or
# contents gets into a message.
. "${srcdir:-.}/tests/lib.sh" || exit 1

store=$tmp/store
mnt=$tmp/mnt
mkdir "$mnt"

# as_other COMMAND...: as a user who owns nothing here.
as_other() {
	setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all "$@"
}

new_store() {
	rm -rf "$store"
	expect 0 "" keyfs mount "$store" "$mnt"
	echo precious >"$mnt/file" || fail "write"
	expect 0 "" keyfs umount "$mnt"
}

claim "modes do not depend on the umask"
for mask in 0 022 0777; do
	rm -rf "$store"
	(umask "$mask" && exec "$KEYFS" mount "$store" "$mnt") || fail "mount"
	echo 1 >"$mnt/file" || fail "write with umask $mask"
	[[ $(stat -c %a "$store") == 700 ]] ||
		fail "umask $mask: directory $(stat -c %a "$store")"
	[[ -S $store/CTL ]] || fail "no socket"
	expect 0 "" find "$store" -mindepth 1 ! -perm 600
	expect 0 "" keyfs umount "$mnt"
	expect 0 "" find "$store" -mindepth 1 ! -perm 600
done

claim "a store's directory must be its user's, and only his to write to"
new_store
ln -s store "$tmp/link"
refuse="*: it is a symbolic link; *"
for path in "$tmp/link" "$tmp/link/"; do
	expect_error 1 "$refuse" keyfs mount "$path" "$mnt"
	expect_error 1 "$refuse" keyfs get "$path" file
	expect_error 1 "$refuse" keyfs check "$path"
done
for mode in 770 707 720; do
	chmod "$mode" "$store"
	refuse="*: its group or others may write to it (mode 0$mode); *"
	expect_error 1 "$refuse" keyfs mount "$store" "$mnt"
	expect_error 1 "$refuse" keyfs put "$store" file other
done
chmod 700 "$store"
chown 65534 "$store"
refuse="*: it belongs to the user 65534; *"
expect_error 1 "$refuse" keyfs mount "$store" "$mnt"
expect_error 1 "$refuse" keyfs rm "$store" file
chown 0 "$store"

claim "a daemon's socket speaks to its user and to root only"
expect 0 "" keyfs mount "$store" "$mnt"
chmod 711 "$tmp" "$store"
[[ $(stat -c %a "$store/CTL") == 600 ]] || fail "$(stat "$store/CTL")"
expect_error 1 "*: it belongs to the user 0; *" \
	as_other "$KEYFS" stats "$store"
expect 0 "" keyfs umount "$mnt"
chmod 700 "$store"

claim "store and mountpoint do not lie in one another, by whatever path"
mkdir "$mnt/below" "$tmp/aside"
ln -s "$mnt" "$tmp/way"
expect_error 1 "*must not lie in one another" \
	keyfs mount -o nonempty "$tmp/way/below" "$mnt"
expect_error 1 "*must not lie in one another" \
	keyfs mount -o nonempty "$mnt/below" "$tmp/way"
expect_error 1 "*must not lie in one another" \
	keyfs mount -o nonempty "$tmp/aside/../mnt/below" "$mnt"
rmdir "$mnt/below"

claim "no link in the store's directory is followed"
echo untouched >"$tmp/victim"
for name in 000001.log 000777.log 000777.sst CURRENT.tmp RESERVE LOG LOG.old \
	LOCK MANIFEST-000777 CTL; do
	new_store
	rm -f "$store/$name"
	ln -s "$tmp/victim" "$store/$name"
	if keyfs mount "$store" "$mnt" 2>"$tmp/errors"; then
		expect 0 "precious" cat "$mnt/file"
		echo more >"$mnt/more" || fail "$name: write"
		expect 0 "" keyfs umount "$mnt"
	elif [[ $(cat "$tmp/errors") != *"$name"* ]]; then
		fail "$name: $(cat "$tmp/errors")"
	fi
	expect 0 "untouched" cat "$tmp/victim"
	[[ $(stat -c %a "$tmp/victim") == 644 ]] || fail "$name: mode"
done

claim "nothing else than a file is taken for one, and nothing hangs"
for name in CURRENT LOCK LOG RESERVE CURRENT.tmp 000777.log; do
	for make in mkfifo mkdir "mknod -m 600"; do
		new_store
		rm -f "$store/$name"
		if [[ $make == mknod* ]]; then
			mknod -m 600 "$store/$name" c 1 3 || fail "mknod"
		else
			$make "$store/$name" || fail "$make"
		fi
		timeout 30 "$KEYFS" mount -o lock_wait=1 "$store" "$mnt" \
			2>"$tmp/errors"
		case $? in
		0)
			expect 0 "precious" cat "$mnt/file"
			expect 0 "" keyfs umount "$mnt"
			;;
		124) fail "$make $name: it hangs" ;;
		*)
			[[ $(cat "$tmp/errors") == *"$name"* ]] ||
				fail "$make $name: $(cat "$tmp/errors")"
			;;
		esac
		rm -rf "${store:?}/$name"
	done
done

claim "only the kernel decides for others: allow_other brings its checks"
rm -rf "$store"
chmod 711 "$tmp"
expect 0 "" keyfs mount -o allow_other "$store" "$mnt"
grep -q "^$store $mnt .*default_permissions.*allow_other" /proc/self/mounts ||
	fail "$(grep " $mnt " /proc/self/mounts)"
echo secret >"$mnt/closed"
chmod 600 "$mnt/closed"
expect_error 1 "*: Permission denied" as_other cat "$mnt/closed"
expect 0 "" keyfs umount "$mnt"
expect_error 2 '*: no option "no_default_permissions"*' \
	keyfs mount -o allow_other,no_default_permissions "$store" "$mnt"

claim "set-id files and devices do nothing unless root asks for it"
# run_id [OPTIONS]: who a set-id program on the mount runs as for another user.
run_id() {
	expect 0 "" keyfs mount -o "allow_other$1" "$store" "$mnt"
	chmod 755 "$mnt"
	install -m 4755 "$(command -v id)" "$mnt/id" || fail "install"
	uid=$(as_other "$mnt/id" -u)
	rm -f "$mnt/null"
	mknod -m 666 "$mnt/null" c 1 3 || fail "mknod"
	(: <"$mnt/null") 2>"$tmp/errors"
	opened=$?
	expect 0 "" keyfs umount "$mnt"
}
run_id ""
[[ $uid -eq 65534 && $opened -ne 0 ]] || fail "uid $uid, opened $opened"
run_id ,suid,dev
[[ $uid -eq 0 && $opened -eq 0 ]] || fail "suid,dev: $uid, opened $opened"

claim "neither names nor contents get into messages, whatever goes wrong"
secret=Xyzzy
rm -rf "$store"
"$KEYFS" mount -f -o memory=1M "$store" "$mnt" 2>"$tmp/daemon" &
for _ in {1..300}; do
	mountpoint -q "$mnt" && break
	sleep 0.02
done
for ((i = 0; i < 400; i++)); do
	head -c 1500 /dev/urandom | base64 -w0 | sed "s/..../$secret/g" \
		>"$mnt/$secret-$i"
done
sync "$mnt"
keyfs umount "$mnt" || fail "umount"
wait
table=$(find "$store" -name '*.sst' -size +8k -print -quit)
[[ -n $table ]] || fail "no table"
printf 'damage' | dd of="$table" bs=1 seek=5000 conv=notrunc status=none
"$KEYFS" mount -f -o memory=1M "$store" "$mnt" 2>>"$tmp/daemon" &
for _ in {1..300}; do
	mountpoint -q "$mnt" && break
	sleep 0.02
done
cat "$mnt"/* >"$tmp/out" 2>"$tmp/errors"
grep -q "Structure needs cleaning\|Input/output error" "$tmp/errors" ||
	fail "the damage was not met: $(head -n 3 "$tmp/errors")"
keyfs umount "$mnt" || fail "umount"
wait
grep -q damaged "$tmp/daemon" || fail "no message"
! grep -q "$secret" "$tmp/daemon" "$store"/LOG* ||
	fail "$(grep "$secret" "$tmp/daemon" "$store"/LOG*)"

finish
