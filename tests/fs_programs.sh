#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# fs_programs.sh - programs that ask much of a filesystem, and a daemon that is
# killed below them: git, sqlite3, cp, tar, rsync, and whatever is executed.
#
# contrib/programs does more of the same, with more programs.
. "${srcdir:-.}/tests/lib.sh" || exit 1
. "${srcdir:-.}/tests/programs.sh" || exit 1

for program in git rsync sqlite3; do
	if ! command -v "$program" >/dev/null; then
		echo "there is no $program"
		exit 77
	fi
done

store_begin programs
executions
git_history 10
git_killed 2
for mode in delete wal; do
	sqlite_writers "$mode" 2 100
	sqlite_killed "$mode" 2 2
done
# shellcheck disable=SC2154 # tests/programs.sh sets it
try tree_make "$side/tree" 2000 && copies "$side/tree"
store_end
finish
