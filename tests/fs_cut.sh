#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# fs_cut.sh - power cuts under load: the filesystem below the store is shut down
# by its own call, which drops whatever it has not written.  What was synced is
# there, and the whole is what a prefix of the operations made.
#
# Half of the cuts write the disk's own journal first, so that its names are newer
# than its data.  KEYFS_TEST_CUTS says how often on each of ext4 and XFS.
. "${srcdir:-.}/tests/lib.sh" || exit 1
. "${srcdir:-.}/tests/disk.sh" || exit 1

cuts=${KEYFS_TEST_CUTS:-5}
seed=${KEYFS_TEST_SEED:-$((RANDOM * 32768 + RANDOM))}
store=$disk/store
mnt=$tmp/mnt
mkdir "$mnt"
echo "KEYFS_TEST_SEED=$seed"

mount_store() {
	keyfs mount -o memory=4M,commit_interval=0.2 "$store" "$mnt" ||
		{ fail "mount"; finish; }
}

# A disk that is gone takes nothing more, and is not the end of the daemon.
is_refused() {
	local i

	for i in 1 2 3 4; do
		echo "$i" >"$mnt/late" && sync "$mnt" &&
			fail "written and synced after the cut"
	done 2>/dev/null
	is_running "$1" || fail "the daemon died of the cut"
}

# The power is gone, and with it the daemon.
end_daemon() {
	kill -KILL "$1"
	while is_running "$1"; do sleep 0.01; done
	umount -l "$mnt" || fail "umount"
	disk_unmount
	disk_mount
}

# verify HOW ROUND
verify() {
	./tests/fs_writers verify "$1" "$mnt/$2" "$tmp/$2" "$((seed + $2))" ||
		fail "round $2, $1"
}

cut_round() {
	local round=$1 before=$(($1 - 1)) pid how=shutdown

	[[ $((round % 2)) -eq 0 ]] || how='shutdown -f'
	mount_store
	pid=$(daemon_pid "$store")
	./tests/fs_writers run "$mnt/$round" "$tmp/$round" "$((seed + round))" \
		500 xfs_io -x -c "$how" "$disk" || fail "see above"
	is_refused "$pid"
	end_daemon "$pid"
	mount_store
	verify cut "$round"
	if [[ $before -gt 0 ]]; then
		verify same "$before"
		rm -r "${mnt:?}/$before" "${tmp:?}/$before" || fail "rm -r"
	fi
	keyfs umount "$mnt" || fail "umount"
	[[ $((round % 5)) -ne 0 ]] || keyfs check "$store" || fail "check"
}

for type in ext4 xfs; do
	claim "nothing promised is lost and nothing is out of order, $cuts cuts on $type"
	disk_make "$type" 512M
	for ((round = 1; round <= cuts && failures == 0; round++)); do
		cut_round "$round"
	done
	rm -rf "${tmp:?}"/[0-9]*
	disk_remove
done

echo "cases: $((2 * cuts))"
finish
