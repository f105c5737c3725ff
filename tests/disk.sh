# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# disk.sh - a filesystem of its own for a store: one that can be cut off, or
# filled, without harm to anything else.
#
# Sourced after tests/lib.sh, whose cleanup unmounts it too.  A test that needs a
# disk is skipped (77) where there can be none: it takes root and a loop device.

# shellcheck disable=SC2154 # tests/lib.sh sets it
disk=$tmp/disk
disk_device=

# Detaches what the trap of lib.sh has unmounted.
disk_cleanup() {
	cleanup
	[[ -z $disk_device ]] || losetup -d "$disk_device"
}

# disk_make TYPE SIZE: makes it, and mounts it on $disk; one at a time.
disk_make() {
	if [[ $EUID -ne 0 ]]; then
		echo "not root: no disk can be mounted"
		exit 77
	fi
	mkdir -p "$disk"
	truncate -s "$2" "$tmp/disk.image" || exit 1
	case $1 in
	ext4) mkfs.ext4 -q -m 0 "$tmp/disk.image" || exit 1 ;;
	xfs) mkfs.xfs -q "$tmp/disk.image" || exit 1 ;;
	esac
	disk_device=$(losetup -f --show "$tmp/disk.image") || exit 77
	trap disk_cleanup EXIT
	disk_mount
}

disk_mount() {
	mount "$disk_device" "$disk" || exit 1
}

# Threads of a killed process may hold it for a moment.
disk_unmount() {
	local i

	for ((i = 0; i < 200; i++)); do
		umount "$disk" 2>/dev/null && return
		sleep 0.05
	done
	fail "the disk cannot be unmounted"
	exit 1
}

disk_remove() {
	disk_unmount
	losetup -d "$disk_device"
	disk_device=
	rm "$tmp/disk.image"
}
