#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# fs_tools.sh - ordinary programs on a mounted store: they work, and what they
# wrote is there after the next mount.
. "${srcdir:-.}/tests/lib.sh" || exit 1

store=$tmp/store
mnt=$tmp/mnt
ref=$tmp/ref
mkdir "$mnt" "$ref"

remount() {
	keyfs umount "$mnt" || fail "umount"
	keyfs mount "$store" "$mnt" || fail "mount"
}

same_as_ref() {
	diff -r --no-dereference "$ref/$1" "$mnt/$1" >"$tmp/diff" ||
		fail "$(head -3 "$tmp/diff")"
}

keyfs mount "$store" "$mnt" || exit 1

claim "echo, cat, mv, ln, rm, mkdir and rmdir"
echo 10.0.0.1 >"$mnt/host"
echo 10.0.0.2 >>"$mnt/host"
expect 0 $'10.0.0.1\n10.0.0.2' cat "$mnt/host"
mkdir -p "$mnt/a/b/c" || fail mkdir
mv "$mnt/host" "$mnt/a/b" || fail mv
ln "$mnt/a/b/host" "$mnt/hard" || fail ln
ln -s a/b/host "$mnt/soft" || fail "ln -s"
expect 0 "2" stat -c %h "$mnt/hard"
expect 0 $'10.0.0.1\n10.0.0.2' cat "$mnt/soft"
mkfifo "$mnt/fifo" || fail mkfifo
expect 0 "fifo" stat -c %F "$mnt/fifo"
expect 1 "" rmdir "$mnt/a"
rm "$mnt/hard" "$mnt/soft" "$mnt/fifo" || fail rm
rm -r "$mnt/a" || fail "rm -r"
expect 0 "" ls -A "$mnt"

claim "cp -a keeps modes, times, links and contents, over a new mount too"
mkdir "$ref/cp"
head -c 3000000 /dev/urandom >"$ref/cp/large"
printf 'small' >"$ref/cp/small"
: >"$ref/cp/empty"
touch -d '2001-02-03 04:05:06.789' "$ref/cp/small"
ln "$ref/cp/small" "$ref/cp/link"
ln -s nowhere "$ref/cp/dangling"
mkdir -m 2750 "$ref/cp/dir"
chmod 4711 "$ref/cp/large"
: >"$ref/cp/$(printf 'odd \n\377name')"
cp -a "$ref/cp" "$mnt/" || fail "cp -a"
list='%P %y %m %n %s %U %G %T@ %l\n'
find "$ref/cp" ! -type d -printf "$list" | sort >"$tmp/want"
for _ in 1 2; do
	same_as_ref cp
	find "$mnt/cp" ! -type d -printf "$list" | sort >"$tmp/got"
	cmp "$tmp/want" "$tmp/got" || fail "$(diff "$tmp/want" "$tmp/got")"
	remount
done

claim "tar there and back, a sparse copy, and a move between filesystems"
tar -C "$ref" -cf "$mnt/t.tar" cp || fail "tar -c"
mkdir "$mnt/tar"
tar -C "$mnt/tar" -xf "$mnt/t.tar" || fail "tar -x"
diff -r --no-dereference "$ref/cp" "$mnt/tar/cp" || fail "tar"
cp --sparse=always "$mnt/t.tar" "$mnt/sparse.tar"
cmp "$mnt/t.tar" "$mnt/sparse.tar" || fail "sparse"
mv "$mnt/sparse.tar" "$tmp/moved" || fail "mv from the mount"
mv "$tmp/moved" "$mnt/moved" || fail "mv to the mount"
cmp "$mnt/t.tar" "$mnt/moved" || fail "moved"

claim "writing in place, truncating, appending and holes"
printf 'abcdefghij' >"$mnt/f"
printf 'XY' | dd of="$mnt/f" bs=1 seek=3 conv=notrunc status=none
expect 0 "abcXYfghij" cat "$mnt/f"
truncate -s 4 "$mnt/f"
printf 'Z' >>"$mnt/f"
expect 0 "abcXZ" cat "$mnt/f"
truncate -s 1M "$mnt/f"
expect 0 "1048576" stat -c %s "$mnt/f"
expect 0 "0" sh -c "tail -c +6 '$mnt/f' | tr -d '\\0' | wc -c"

claim "rm -r of a directory while it is listed"
mkdir "$mnt/many"
(cd "$mnt/many" && seq 3000 | xargs touch)
find "$mnt/many" -type f >"$tmp/names" &
rm -r "$mnt/many" || fail "rm -r"
wait
[[ ! -e $mnt/many ]] || fail "it is still there"

claim "a file that is open outlives its name"
exec 3<>"$mnt/open"
echo contents >&3
rm "$mnt/open"
expect 0 "contents" cat "/proc/self/fd/3"
[[ ! -e $mnt/open ]] || fail "it still has a name"
exec 3>&-

claim "everything is there after another mount, and check finds nothing"
(cd "$mnt" && find . -type f -exec md5sum {} + | sort) >"$tmp/before"
remount
(cd "$mnt" && find . -type f -exec md5sum {} + | sort) >"$tmp/after"
cmp "$tmp/before" "$tmp/after" || fail "contents"
expect 0 "" keyfs umount "$mnt"
keyfs check "$store" >"$tmp/check" || fail "$(cat "$tmp/check")"

finish
