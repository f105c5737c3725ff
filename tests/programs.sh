# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# programs.sh - what real programs are asked to do on a mounted store, in any
# amount: tests/fs_programs.sh takes a little of it, contrib/programs much.
#
# Sourced after tests/lib.sh.  store_begin makes a fresh store and mounts it on
# $mnt; what has to outlive the daemon is kept beside it, in $side.  The daemon
# runs in the foreground, so that its messages and its exit status are seen.
# Every function claims and fails as lib.sh has it.

# shellcheck disable=SC2154 # tests/lib.sh sets it
out=$tmp/out

# try COMMAND...: what it prints is shown if it fails.
try() {
	"$@" >"$out" 2>&1 && return
	fail "$*: status $?; $(tail -n 40 "$out")"
	return 1
}

# ---- The store and its mount ----

# store_begin NAME [OPTION,...]
store_begin() {
	store=$tmp/$1/store
	mnt=$tmp/$1/mnt
	side=$tmp/$1/side
	daemon_log=$tmp/$1/daemon.log
	mount_options=${2-}
	mkdir -p "$mnt" "$side" || exit 1
	: >"$daemon_log"
	store_mount
}

# Nothing that follows means anything without a mount.
store_mount() {
	local i

	"$KEYFS" mount -f ${mount_options:+-o "$mount_options"} \
		"$store" "$mnt" 2>>"$daemon_log" &
	daemon=$!
	for ((i = 0; i < 1200; i++)); do
		mountpoint -q "$mnt" && return
		is_running "$daemon" || break
		sleep 0.05
	done
	fail "mount: $(cat "$daemon_log")"
	finish
}

store_umount() {
	try keyfs umount "$mnt"
	wait "$daemon" || fail "the daemon ended with status $?"
}

# A moment at random, once files have more lines than they had: LINES FILE...
await_more() {
	local lines=$1 i
	shift

	for ((i = 0; i < 600; i++)); do
		[[ $(cat "$@" | wc -l) -le $lines ]] || break
		sleep 0.1
	done
	sleep "0.$((RANDOM % 10))"
}

# SIGKILL, and nothing is left of the daemon or of its mount.
store_kill() {
	kill -KILL "$daemon" || fail "the daemon was dead already"
	wait "$daemon" 2>/dev/null
	try keyfs umount "$mnt"
}

# A killed daemon may leave the last record of the log half written, which the next
# one tells.
store_end() {
	local complaints

	claim "the daemon lived, complained of nothing, and left a whole store"
	[[ $(stat -c %d "$mnt") != $(stat -c %d "$side") ]] ||
		fail "nothing is mounted"
	store_umount
	complaints=$(grep -v ': torn tail of a crash at ' "$daemon_log")
	[[ -z $complaints ]] || fail "$complaints"
	try keyfs check "$store"
}

# ---- git ----

# By nobody in particular, and nothing in the background.
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.com
export GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.com

# Commit number N in the current directory: a file changed, one new.
git_commit() {
	mkdir -p "dir$(($1 % 7))" &&
		seq "$1" "$(($1 + 300))" >"file$(($1 % 20))" &&
		echo "$1" >"dir$(($1 % 7))/$1" &&
		git add -A &&
		git commit -qm "$1"
}

# git_commits DIR FIRST LAST
git_commits() (
	cd "$1" || exit
	for ((n = $2; n <= $3; n++)); do
		git_commit "$n" || exit
	done
)

git_branches() (
	cd "$1" || exit
	git checkout -qb topic HEAD~2 &&
		echo topic >topic && git add topic && git commit -qm topic &&
		git checkout -q main && git merge -q --no-edit topic &&
		git tag -am one one &&
		git checkout -qb other HEAD~1 &&
		echo other >other && git add other && git commit -qm other &&
		git rebase -q main && git checkout -q main &&
		git merge -q --ff-only other &&
		echo changed >>topic && git stash -q && git stash pop -q &&
		git checkout -qf main && git worktree add -q ../worktree topic
)

# Beside fsck: an empty object is what a file that lost its contents would be.  What
# a killed git had just begun has another name.
git_whole() {
	local empty

	try git -C "$1" fsck --full --strict --no-progress
	empty=$(find "$1/.git/objects" -type f -empty ! -name 'tmp_*')
	[[ -z $empty ]] || fail "empty: $empty"
	[[ -z $(git -C "$1" status --porcelain) ]] ||
		fail "$(git -C "$1" status --short | head)"
}

# One clone shares objects by hard links, the other one gets a pack.
git_clones() {
	try git clone -q "$mnt/git" "$mnt/clone" &&
		try git clone -q "file://$mnt/git" "$mnt/far" || return
	git_whole "$mnt/clone"
	git_whole "$mnt/far"
	[[ $(git -C "$mnt/far" rev-parse HEAD) == \
		$(git -C "$mnt/git" rev-parse HEAD) ]] || fail "another commit"
	try git_commits "$mnt/far" 1000001 1000003 &&
		try git -C "$mnt/far" push -q origin HEAD:pushed
}

# git_history COMMITS
git_history() {
	claim "git: $1 commits, branches, gc, clones, a push, fsck"
	try git init -q -b main "$mnt/git" &&
		try git_commits "$mnt/git" 1 "$1" &&
		try git_branches "$mnt/git" &&
		try git -C "$mnt/git" gc -q --aggressive --prune=now || return
	git_clones
	git_whole "$mnt/git"
	claim "git: inode numbers and times are the same after a mount"
	store_umount
	store_mount
	try git -C "$mnt/git" diff-files --exit-code --name-only
	git_whole "$mnt/git"
}

# Commits until the mount is gone; what was answered goes to a journal.
git_until_killed() (
	cd "$mnt/git" || exit
	for ((n = $(git rev-list --count HEAD); ; n++)); do
		git_commit "$((n + 10000))" && git rev-parse -q --verify HEAD ||
			exit
	done
) >>"$side/commits" 2>/dev/null

git_repack_until_killed() {
	while git -C "$mnt/git" repack -adq 2>/dev/null; do :; done
}

# A killed git leaves its locks too, and whoever starts it again removes them.
git_after_kill() {
	local missing

	find "$mnt/git/.git" -name '*.lock' -delete
	missing=$(git -C "$mnt/git" rev-list HEAD |
		grep -Fxvf - "$side/commits")
	[[ -z $missing ]] || fail "commits are lost: $missing"
	try git -C "$mnt/git" reset -q --hard &&
		try git -C "$mnt/git" clean -qfd && git_whole "$mnt/git"
}

# git_killed ROUNDS: in what git_history left; every other time under a repack.
git_killed() {
	local round lines

	claim "git: the daemon is killed, $1 times; no commit is lost"
	: >"$side/commits"
	for ((round = 1; round <= $1 && failures == 0; round++)); do
		lines=$(wc -l <"$side/commits")
		git_until_killed &
		[[ $((round % 2)) -eq 0 ]] || git_repack_until_killed &
		await_more "$lines" "$side/commits"
		store_kill
		wait
		store_mount
		git_after_kill
	done
}

# ---- sqlite3 ----

# Transactions for one writer: WRITER FIRST COUNT.  Two tables must agree after
# each, and its number is printed when it is committed.
sqlite_transactions() {
	awk -v w="$1" -v first="$2" -v count="$3" 'BEGIN {
		print ".bail on"
		print ".timeout 60000"
		print "pragma synchronous=full;"
		for (i = first; i < first + count; i++) {
			print "begin immediate;"
			printf "insert into t values (%d, %d, hex(randomblob(%d)));\n",
				w, i, i % 10 == 0 ? 6000 : 40
			printf "update n set n = %d where w = %d;\n", i, w
			printf "delete from t where w = %d and i = %d;\n", w, i - 200
			print "commit;"
			printf "select %d;\n", i
		}
	}'
}

# sqlite_writer DATABASE WRITER COUNT: line by line, for a mapping of a killed
# mount may end sqlite3 by a signal.
sqlite_writer() {
	local first

	first=$(sqlite3 -cmd ".timeout 60000" "$1" \
		"select n + 1 from n where w = $2") || return
	sqlite_transactions "$2" "$first" "$3" |
		stdbuf -oL sqlite3 "$1" >>"$side/acked.$2"
}

# sqlite_make DATABASE MODE WRITERS
sqlite_make() {
	rm -f "$side"/acked.*
	expect 0 "$2" sqlite3 "$1" "pragma journal_mode=$2;
		create table t(w, i, value, primary key (w, i));
		create index by_value on t(value);
		create table n(w integer primary key, n);
		with recursive w(i) as (select 1 union all
			select i + 1 from w where i < $3)
		insert into n select i, 0 from w;"
}

# Every answered transaction is there, the one that was not yet answered perhaps,
# and none by halves: DATABASE WRITERS.
sqlite_verify() {
	local w acked n

	expect 0 ok sqlite3 "$1" "pragma integrity_check"
	expect 0 "" sqlite3 "$1" "select n.*, count(i), max(i) from n
		left join t using (w) group by w
		having count(i) != min(n, 200) or max(i) != n"
	for ((w = 1; w <= $2; w++)); do
		acked=$(tail -n 1 "$side/acked.$w")
		n=$(sqlite3 "$1" "select n from n where w = $w")
		[[ $n -eq ${acked:-0} || $n -eq $((${acked:-0} + 1)) ]] ||
			fail "writer $w: $acked were answered, $n are there"
	done
}

# sqlite_writers MODE WRITERS COUNT
sqlite_writers() {
	local database=$mnt/$1.db w jobs=()

	claim "sqlite3, journal_mode=$1: $2 processes, $3 transactions each"
	sqlite_make "$database" "$1" "$2"
	for ((w = 1; w <= $2; w++)); do
		sqlite_writer "$database" "$w" "$3" 2>"$side/errors.$w" &
		jobs+=($!)
	done
	for ((w = 1; w <= $2; w++)); do
		wait "${jobs[w - 1]}" || fail "$(cat "$side/errors.$w")"
		[[ $(tail -n 1 "$side/acked.$w") -eq $3 ]] || fail "writer $w"
	done
	sqlite_verify "$database" "$2"
}

# sqlite_killed MODE WRITERS ROUNDS: in what sqlite_writers left.
sqlite_killed() {
	local database=$mnt/$1.db w round lines

	claim "sqlite3, journal_mode=$1: the daemon is killed, $3 times"
	for ((round = 1; round <= $3 && failures == 0; round++)); do
		lines=$(cat "$side"/acked.* | wc -l)
		for ((w = 1; w <= $2; w++)); do
			sqlite_writer "$database" "$w" 1000000 2>/dev/null &
		done
		await_more "$lines" "$side"/acked.*
		store_kill
		wait
		store_mount
		sqlite_verify "$database" "$2"
	done
}

# ---- cp, tar, rsync ----

# tree_oddities N: in the current directory, which holds faaa to faaz at least.
tree_oddities() {
	ln faaa hard && ln -s faab soft && ln -s nowhere dangling &&
		: >empty && truncate -s 300000 sparse && echo end >>sparse &&
		head -c $(($1 * 7919 % 200000)) /dev/urandom >large &&
		: >"$(printf 'odd \n\377name %d' "$1")" &&
		chmod 4711 faad && chmod 2755 . &&
		mkfifo fifo && mkdir -m 1777 sticky &&
		touch -hd '2001-02-03 04:05:06.123456789' soft &&
		touch -d '1969-12-31 23:59:58.25' faae &&
		touch -d '2040-01-02 03:04:05.987654321' faaf || return
	! command -v setfattr >/dev/null || {
		setfattr -n user.keyfs -v "$1" faag &&
			setfattr -n user.large -v "$(seq 800)" faag &&
			setfattr -n user.dir -v "$1" .
	} || return
	[[ $EUID -ne 0 ]] || {
		mknod null c 1 3 && chmod 0 faac && chown 12345:23456 faah large &&
			chown -h 12345:23456 soft
	}
}

# tree_make DIR FILES: 500 in a directory, and some that are hard to copy.
tree_make() {
	local dir n

	for ((n = 0; n < $2; n += 500)); do
		dir=$1/$((n / 5000))/$((n / 500))
		mkdir -p "$dir" &&
			seq "$n" "$((n + 499))" | (
				cd "$dir" && split -l 1 -a 3 - f &&
					tree_oddities "$((n / 500))"
			) || return
	done
}

# Contents, types, links, owners, times to the nanosecond and attributes.
trees_agree() {
	try rsync -aHXnc --delete --modify-window=-1 --itemize-changes \
		"$1/" "$2/"
	[[ ! -s $out ]] || fail "$1 and $2: $(head "$out")"
}

tar_copy() {
	mkdir "$2" &&
		tar --xattrs --xattrs-include='*' -C "$1" -cf - . |
		tar --xattrs --xattrs-include='*' -C "$2" -xpf -
}

# Otherwise it takes a time for right that is so to the second.
rsync_copy() {
	rsync -aHX --modify-window=-1 "$1/" "$2/"
}

# copies TREE: there and back, by each of the three.
copies() {
	claim "cp, tar and rsync: $(find "$1" | wc -l) files there and back"
	try cp -a "$1" "$mnt/cp"
	try tar_copy "$1" "$mnt/tar"
	try rsync_copy "$1" "$mnt/rsync"
	store_umount
	store_mount
	for how in cp tar rsync; do
		trees_agree "$1" "$mnt/$how"
	done
	try cp -a "$mnt/tar" "$side/cp"
	try tar_copy "$mnt/rsync" "$side/tar"
	try rsync_copy "$mnt/cp" "$side/rsync"
	for how in cp tar rsync; do
		trees_agree "$1" "$side/$how"
	done
}

# ---- Running what lies on the mount ----

# A program with all of its libraries: program_copy PROGRAM DIR.
program_copy() {
	mkdir -p "$2" && cp "$1" "$2/" && ldd "$1" |
		sed -n 's/^[^/]*\(\/[^ ]*\) (0x.*/\1/p' | xargs cp -Lt "$2"
}

executions() {
	local bin=$mnt/bin pid loader

	claim "programs, their libraries and their interpreters run from the mount"
	mkdir "$bin" && try cp /bin/bash /bin/sleep /bin/ls "$bin"
	expect 0 "$(ls /usr)" "$bin/ls" /usr
	try program_copy /bin/ls "$bin/all"
	loader=$(cd "$bin/all" && echo ld*)
	expect 0 "$(ls /usr)" "$bin/all/$loader" --library-path "$bin/all" \
		"$bin/all/ls" /usr
	# shellcheck disable=SC2016 # for the script to expand
	printf '#!%s\necho "$0 $BASH"\n' "$bin/bash" >"$bin/script"
	expect 126 "" "$bin/script"
	chmod +x "$bin/script"
	expect 0 "$bin/script $bin/bash" "$bin/script"

	claim "a program that runs is not written to, but may be replaced"
	"$bin/sleep" 1000 &
	pid=$!
	until [[ $(readlink "/proc/$pid/exe") == "$bin/sleep" ]]; do
		sleep 0.01
	done
	expect_error 1 "*Text file busy*" dd of="$bin/sleep" if=/dev/null
	try cp --remove-destination /bin/ls "$bin/sleep"
	expect 0 "$(ls /usr)" "$bin/sleep" /usr
	kill "$pid" || fail "it does not run any more"
	wait "$pid" 2>/dev/null
	try cp /bin/bash "$bin/ls"
	expect 0 "" cmp /bin/bash "$bin/ls"
}
