# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# programs_suites.sh - the suites of contrib/programs: what was written to try a
# filesystem.
#
# Sourced by it after tests/programs.sh: the store is mounted on $mnt, and part_of
# says how much to do.

# ---- Memory ----

# What the daemon holds once it has nothing left to do.
memory_kib() {
	try keyfs sync "$mnt"
	sleep 1
	awk '/^VmRSS:/ { print $2 }' "/proc/$daemon/status"
}

# memory_settles COMMAND...: three times the same, and the third leaves no more
# memory in use than the others, but for a tenth and for one memtable, a quarter of
# the budget, which may be full or empty just then.  Two runs do not tell: what malloc
# keeps differs from one to the next by as much as that.
memory_settles() {
	local first second third most

	"$@"
	first=$(memory_kib)
	"$@"
	second=$(memory_kib)
	"$@"
	third=$(memory_kib)
	claim "a third run of the same takes no more memory"
	echo "VmRSS: $first, $second, $third KiB"
	most=$((first > second ? first : second))
	[[ $third -le $((most + most / 10 + 8192)) ]] ||
		fail "$first, $second, then $third KiB"
}

# ---- stress-ng ----

# Not those three that have nothing to do with the directory that they are given:
# two mount something else, one reads /proc.
stressors() {
	stress-ng --class 'filesystem?' | sed 's/.*: //' | tr ' ' '\n' |
		grep -vx -e bind-mount -e binderfs -e procfs
}

# The sizes are those of files; some are 1 GiB otherwise.
stress_one() {
	timeout 300 stress-ng --temp-path "$mnt/stress" --verify \
		--timeout "$2" --"$1" 2 --copy-file-bytes 128m \
		--fallocate-bytes 32m --hdd-bytes 32m --iomix-bytes 32m \
		--sync-file-bytes 32m
}

# stress_all SECONDS
stress_all() {
	local stressor

	mkdir "$mnt/stress"
	for stressor in $(stressors); do
		claim "stress-ng --$stressor"
		try stress_one "$stressor" "$1"
		! grep -q skipping "$out" || echo "$stressor" >>"$side/skipped"
		expect 0 "" ls -A "$mnt/stress"
	done
	rmdir "$mnt/stress" || fail "rmdir"
}

program_stress_ng() {
	local seconds

	seconds=$(part_of 3)
	: >"$side/skipped"
	did "$(stressors | wc -l) stressors, 3 x $seconds s each, --verify"
	memory_settles stress_all "$seconds"
	echo "not for FUSE, as they say: $(sort -u "$side/skipped" | xargs)"
}

# ---- dbench ----

# It may complain and go on.
dbench_run() {
	claim "dbench $*"
	mkdir "$mnt/dbench"
	try timeout 600 dbench -D "$mnt/dbench" "$@"
	! grep -iE 'fail|error|expected' "$out" || fail "$(tail "$out")"
	grep '^Throughput' "$out" || fail "no result"
	rm -r "$mnt/dbench" || fail "rm -r"
}

program_dbench() {
	local seconds

	seconds=$(part_of 40)
	did "4 clients, $seconds s: 3 times, fsync, O_SYNC, attributes"
	memory_settles dbench_run -t "$seconds" 4
	dbench_run -t "$seconds" -F 4
	dbench_run -t "$seconds" -s -S 4
	dbench_run -t "$seconds" -x 4
}

# ---- bonnie++ ----

# Without single characters (-f): those are a system call each.
bonnie_run() {
	claim "bonnie++ $*"
	mkdir "$mnt/bonnie"
	try timeout 900 bonnie++ -d "$mnt/bonnie" -u root -f -q \
		-r $((size / 2)) -s "$size" "$@"
	expect 0 "" ls -A "$mnt/bonnie"
	rmdir "$mnt/bonnie" || fail "rmdir"
}

program_bonnie__() {
	local size files

	size=$(part_of 500)
	files=$(part_of 30)
	did "a file of $size MiB, $((files * 1024)) small ones; 3 times, and -b"
	memory_settles bonnie_run -n "$files:20000:0:30"
	bonnie_run -n "$(part_of 10)" -b
}

# ---- fio ----

# fio_job NAME OPTION...: everything that it wrote is read and verified.
fio_job() {
	claim "fio: $*"
	try timeout 600 fio --directory="$mnt/fio" --aux-path="$side" \
		--size="${size}m" --verify_fatal=1 --name="$@"
}

fio_verified() {
	local engine

	for engine in psync mmap; do
		fio_job "$engine-writes" --ioengine=$engine --rw=randwrite \
			--bs=4k --verify=crc32c --fsync=64
		fio_job "$engine-mixed" --ioengine=$engine --rw=randrw \
			--bs=512-64k --bs_unaligned --verify=crc32c
	done
	fio_job async --ioengine=libaio --iodepth=16 --direct=1 --rw=randwrite \
		--bs=4k-128k --verify=sha256 --verify_async=2
	fio_job appended --ioengine=psync --rw=write --bs=10000 --file_append=1 \
		--verify=xxhash --fallocate=none
	fio_job together --ioengine=psync --rw=randwrite --bs=8k --numjobs=4 \
		--verify=md5 --fdatasync=32 --verify_backlog=100
	rm "$mnt/fio"/* || fail "rm"
}

# The options by which writing and reading again agree on what is written where.
fio_cut() {
	(cd "$side" && timeout 600 fio --name=cut --directory="$mnt/fio" \
		--ioengine=psync --rw=randwrite --bs=4k-32k --size=256m \
		--numjobs=2 --verify=crc32c --randseed="$seed" "$@")
}

# The daemon is killed at some moment, of which fio notes what was answered by
# then; that is verified after the next mount.
fio_killed() {
	local seed=$RANDOM

	try fio_cut --do_verify=0 --fsync=16 --verify_state_save=1 \
		--trigger-timeout=$((RANDOM % 3 + 2)) \
		--trigger="kill -KILL $daemon"
	wait "$daemon" 2>/dev/null
	try keyfs umount "$mnt"
	store_mount
	try fio_cut --verify_only --verify_state_load=1 --verify_fatal=1
	grep -q 'issued rwts: total=[1-9]' "$out" || fail "nothing was verified"
	rm "$mnt/fio"/* "$side"/*.state || fail "rm"
}

program_fio() {
	local size kills i

	size=$(part_of 64)
	kills=$(part_of 10)
	did "7 jobs of $size MiB verified, 3 times; $kills kills, verified"
	mkdir "$mnt/fio"
	memory_settles fio_verified
	claim "fio: all that was answered before a kill is there"
	for ((i = 0; i < kills && failures == 0; i++)); do
		fio_killed
	done
}

# ---- xfs_io ----

# Not compared: speeds, and what differs from one filesystem to the next.
xfs_io_run() {
	xfs_io "$@" 2>&1 | sed -E '/ ops[;)]/d; /^stat\.(ino|blocks)/d'
}

# Calls that few programs make, in the current directory.  With -b and -Z, as
# blocks and seeds are otherwise another each time.
xfs_io_calls() {
	xfs_io_run -f -c 'pwrite -b 4k -S 0x61 0 1m' \
		-c 'pwrite -b 4k -S 0x62 -V 4 300k 64k' \
		-c 'pwrite -b 4k -S 0x63 -R -Z 1 512k 128k' \
		-c 'pwrite -b 4k -S 0x64 -B 700k 48k' \
		-c 'pwrite -b 4k -S 0x65 -D 2m 16k' \
		-c 'pwrite -b 7 -S 0x66 -wW 999 3k' \
		-c 'fpunch 128k 128k' -c 'fpunch 5000 7000' -c 'fzero 400k 64k' \
		-c 'fzero -k 3m 64k' -c 'falloc 4m 1m' -c 'falloc -k 6m 1m' \
		-c 'stat' -c 'seek -a -r 0' -c 'seek -d 5m' -c 'truncate 1500k' \
		-c 'truncate 3m' -c 'seek -a -r 0' \
		-c 'pread -q -b 4k -V 3 1490k 20k' \
		-c 'copy_range -s 0 -d 2m -l 300k f' -c 'seek -a -r 2m' \
		-c 'copy_range -s 100 -d 64k -l 5000 f' \
		-c 'mmap 0 1m' -c 'mwrite -S 0x67 1000 5000' -c 'msync -s' \
		-c 'mread -v 990 20' -c 'mwrite -r -S 0x68 64k 64k' \
		-c 'pwrite -b 4k -S 0x69 70k 1k' -c 'mread -v 70k 16' \
		-c 'munmap' -c 'fsync' -c 'fdatasync' -c 'fadvise -d 0 0' \
		-c 'sync_range -w 0 1m' -c 'utimes 1 2 3 4' \
		-c 'pread -b 4k -B 0 3m' -c 'stat' f
	xfs_io_run -f -c 'sendfile -i f 0 100k' -c 'sendfile -i f 70k 64k' sent
	xfs_io_run -f -d -c 'pwrite -b 64k 0 1m' -c 'pread -b 4k 4k 64k' direct
	xfs_io_run -f -a -c 'pwrite 0 100' -c 'pwrite 0 100' -c stat appended
	xfs_io_run -f -s -c 'pwrite -b 4k 0 10k' -c 'truncate 5k' synced
	xfs_io_run -f -t -c 'pwrite 0 1' -c stat synced
	xfs_io_run -f -x -c 'pwrite 0 1' synced
	xfs_io_run -r -c 'pwrite 0 10' -c 'mmap -w 0 4k' f
	xfs_io_run -c 'copy_range f' -c 'fpunch 0 0' sent
	xfs_io_run -f -c 'mmap 0 64k' -c 'pwrite 0 10' -c 'truncate 100000' \
		-c 'mwrite -S 0x6a 9 60000' -c 'truncate 3' -c 'truncate 20' mapped
	stat -c '%n %s %y' f
}

xfs_io_in() (
	mkdir "$1" && cd "$1" && xfs_io_calls
)

program_xfs_io() {
	did "odd calls, with the results and contents of $(stat -fc %T "$side")"
	claim "xfs_io: odd calls do what they do elsewhere"
	xfs_io_in "$side/calls" >"$side/want" 2>&1
	xfs_io_in "$mnt/calls" >"$side/got" 2>&1
	try diff "$side/want" "$side/got"
	try diff -r "$side/calls" "$mnt/calls"
	claim "and over another mount"
	store_umount
	store_mount
	try diff -r "$side/calls" "$mnt/calls"
	claim "what a mount by FUSE cannot do is refused"
	for call in "finsert 64k 64k" "fcollapse 0 64k" "reflink sent" \
		"dedupe sent 0 0 4k"; do
		(cd "$mnt/calls" && xfs_io -c "$call" f) >"$out" 2>&1
		grep -q "not supported" "$out" || fail "$call: $(cat "$out")"
	done
	try diff -r "$side/calls" "$mnt/calls"
}
