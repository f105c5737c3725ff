# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# programs_work.sh - the programs of contrib/programs that people work with.
#
# Sourced by it after tests/programs.sh: the store is mounted on $mnt, and part_of
# says how much to do.

program_git() {
	local commits kills

	# The branches begin some commits back.
	commits=$((10 + $(part_of 390)))
	kills=$(part_of 30)
	did "$commits commits, branches, gc, clones, fsck; $kills kills"
	git_history "$commits"
	git_killed "$kills"
}

program_sqlite3() {
	local mode rows kills

	rows=$(part_of 2000)
	kills=$(part_of 30)
	did "delete and wal: 4 processes, $rows transactions each; $kills kills"
	for mode in delete wal; do
		sqlite_writers "$mode" 4 "$rows"
		sqlite_killed "$mode" 4 "$kills"
	done
}

program_execute() {
	did "programs, libraries, interpreters; writing to one that runs"
	executions
}

# ---- PostgreSQL ----

# It refuses to be root.
postgres_exec() {
	exec setpriv --reuid=postgres --regid=postgres --init-groups env -C / \
		PGHOST="$side" PGDATA="$mnt/data" PATH="$postgres_bin:$PATH" "$@"
}

postgres() (
	postgres_exec "$@"
)

# The server is a child of this shell, which waits for it when it is dead: it does
# not start again before that.  Small, so that its files are read and written; each
# start has another method to sync.
postgres_methods=(fdatasync fsync open_datasync open_sync)
postgres_start() {
	local i

	postgres_exec postgres -c listen_addresses= -k "$side" \
		-c shared_buffers=8MB -c max_wal_size=64MB -c min_wal_size=32MB \
		-c checkpoint_timeout=30s \
		-c wal_sync_method="${postgres_methods[starts % 4]}" \
		>>"$side/postgres.log" 2>&1 &
	server=$!
	starts=$((starts + 1))
	for ((i = 0; i < 1200; i++)); do
		postgres pg_isready -q && return
		is_running "$server" || break
		sleep 0.1
	done
	fail "no server: $(tail -n 20 "$side/postgres.log")"
	finish
}

postgres_stop() {
	try postgres pg_ctl -s -w -m fast stop
	wait "$server" || fail "the server ended with status $?"
}

# All of it at once, and the daemon too.
postgres_kill() {
	local pid pids

	mapfile -t pids < <(ps -o pid= --ppid "$server")
	kill -KILL "$server" "${pids[@]}" 2>/dev/null
	store_kill
	wait
	for pid in "${pids[@]}"; do
		while is_running $((pid)); do sleep 0.05; done
	done
}

postgres_query() {
	postgres psql -XAtq -v ON_ERROR_STOP=1 -d postgres -c "$1"
}

# postgres_writer WRITER: one row a transaction, each told when it is committed.
postgres_writer() {
	local first

	first=$(postgres_query "select coalesce(max(i), 0) + 1 from told
		where w = $1") || return
	seq "$first" 1000000 | sed "s/.*/insert into told values ($1, &);\n\\\\echo &/" |
		postgres stdbuf -oL psql -XAtq -v ON_ERROR_STOP=1 -d postgres \
			>>"$side/told.$1" 2>/dev/null
}

# What was told is there, without a gap, and the four sums of pgbench agree.
postgres_verify() {
	local w told n

	for w in 1 2 3; do
		told=$(tail -n 1 "$side/told.$w")
		n=$(postgres_query "select max(i) from told where w = $w
			having count(*) = max(i)")
		[[ $n -eq ${told:-0} || $n -eq $((${told:-0} + 1)) ]] ||
			fail "writer $w: $told were told, $n are there"
	done
	expect 0 1 postgres_query "select count(distinct sum) from (
		select sum(abalance) from pgbench_accounts union all
		select sum(bbalance) from pgbench_branches union all
		select sum(tbalance) from pgbench_tellers union all
		select sum(delta) from pgbench_history) sums"
}

postgres_bench() {
	try postgres pgbench -n -c 4 -j 2 -T "$1" "${@:2}" postgres
}

postgres_make() {
	mkdir "$mnt/data"
	chown postgres "$mnt/data" "$side"
	try postgres initdb -k --locale=C -E UTF8 || finish
	postgres_start
	try postgres pgbench -i -q --foreign-keys -s "$(part_of 20)" postgres
	try postgres_query "create table told (w int, i int,
		primary key (w, i)); create extension amcheck"
}

postgres_kill_round() {
	local w lines

	lines=$(cat "$side"/told.* | wc -l)
	for w in 1 2 3; do
		postgres_writer "$w" &
	done
	postgres_bench 1000 >"$side/bench" 2>&1 &
	await_more "$lines" "$side"/told.*
	sleep "$((RANDOM % 3))"
	postgres_kill
	store_mount
	postgres_start
	postgres_verify
}

# Checksums are looked at while the server is down.
postgres_whole() {
	try postgres pg_amcheck --heapallindexed -d postgres
	postgres_stop
	try postgres pg_checksums --check
}

program_postgresql() {
	local postgres_bin server starts=0 seconds kills i

	postgres_bin=$(dpkg -L postgresql-15 | sed -n 's|/initdb$||p' | head -n 1)
	seconds=$(part_of 60)
	kills=$(part_of 10)
	did "pgbench, scale $(part_of 20), 4 clients, 2 x $seconds s; $kills kills of both"
	: | tee "$side/told.1" "$side/told.2" >"$side/told.3"
	claim "PostgreSQL: initdb, pgbench, another mount, pg_checksums"
	postgres_make
	postgres_bench "$seconds"
	postgres_bench "$seconds" -M prepared
	postgres_verify
	postgres_whole
	store_umount
	store_mount
	claim "PostgreSQL and the daemon are killed: what was answered is there"
	postgres_start
	for ((i = 0; i < kills && failures == 0; i++)); do
		postgres_kill_round
	done
	postgres_whole
}

# ---- rsync, tar, cp ----

# Half is what this system has in /usr, the other half is made up.
program_rsync() {
	local files tree=$side/tree

	files=$(part_of 50000)
	tree_make "$tree/made" $((files / 2)) || fail "the tree was not made"
	mkdir "$tree/usr"
	(cd /usr && find . -xdev -type f -size -100k | head -n $((files / 2)) |
		tar -cf - -T -) | tar -C "$tree/usr" -xpf - || fail "tar of /usr"
	did "$(find "$tree" | wc -l) files there and back by rsync -aHX, tar, cp -a"
	copies "$tree"
	claim "access control lists are refused, so that nothing loses one unseen"
	expect_error 1 "*not supported*" setfacl -m u:1:r "$mnt"
}

# ---- dpkg ----

# Packages of many files and few scripts: those would run in the new root.
dpkg_packages=(
	libboost1.74-dev libc6-dev linux-libc-dev manpages-dev
	perl-modules-5.36
)

dpkg_root() {
	dpkg --root="$mnt/root" --force-depends \
		--log="$side/dpkg.log" "$@"
}

program_dpkg() {
	local debs=("${dpkg_packages[@]:$((part > 1 ? 1 : 0))}") files

	claim "dpkg: install, the same again over it, verify, another mount, remove"
	try env -C "$side" apt-get -q download "${debs[@]}" || return
	mkdir -p "$mnt"/root/var/lib/dpkg/{info,updates}
	: >"$mnt/root/var/lib/dpkg/status"
	try dpkg_root -i "$side"/*.deb
	try dpkg_root -i "$side"/*.deb
	files=$(cat "$mnt"/root/var/lib/dpkg/info/*.list | wc -l)
	did "install ${#debs[@]} packages, $files paths, twice; --verify; purge"
	store_umount
	store_mount
	expect 0 "" dpkg_root --verify
	try dpkg_root --purge "${debs[@]}"
	expect 0 "" find "$mnt/root" ! -path '*/var*' -type f
}

# ---- debootstrap ----

debootstrap_suite() {
	apt-get indextargets --format '$(CREATED_BY) $(RELEASE) $(REPO_URI)' |
		sed -n 's/^Packages //p' | grep -v -e -updates -e -security |
		head -n 1
}

program_debootstrap() {
	local suite mirror root=$mnt/root

	read -r suite mirror < <(debootstrap_suite)
	did "$suite, minbase; its dpkg verifies it, twice"
	claim "debootstrap: a system on the mount, and its own dpkg agrees"
	try debootstrap --variant=minbase "$suite" "$root" "$mirror" || {
		tail -n 20 "$root/debootstrap/debootstrap.log"
		return
	}
	expect 0 "" chroot "$root" dpkg --verify
	expect 0 "" chroot "$root" dpkg --audit
	store_umount
	store_mount
	expect 0 "" chroot "$root" dpkg --verify
	# shellcheck disable=SC2016 # for perl to expand
	expect 0 "debian" chroot "$root" perl -ne 'print $1 if /^ID=(\w+)/' \
		/etc/os-release
}

# ---- vim ----

vim_edit() {
	vim -u NONE -i NONE -N -es "$@"
}

# vim_edits BACKUPCOPY: one file, with swap file and backup, under inotify.
vim_edits() {
	local file=$mnt/vim/$1 watch

	claim "vim: an edit with backup and swap file, backupcopy=$1"
	echo old >"$file"
	chmod 640 "$file"
	inotifywait -mqe create,modify,move,delete,close_write,attrib \
		--format '%e %f' "$mnt/vim" >"$side/events" &
	watch=$!
	sleep 1
	try vim_edit -c "set fsync backup backupskip= backupcopy=$1" \
		-c 's/old/new/' -c 'normal oline' -c wq "$file"
	sleep 1
	kill "$watch"
	wait "$watch" 2>/dev/null
	expect 0 $'new\nline' cat "$file"
	expect 0 old cat "$file~"
	expect 0 640 stat -c %a "$file"
	expect 0 $'.\n..\n'"$1"$'\n'"$1~" ls -a "$mnt/vim"
	for event in "CREATE .$1.swp" "DELETE .$1.swp" "MODIFY $1" \
		"CLOSE_WRITE,CLOSE $1"; do
		grep -Fxq "$event" "$side/events" ||
			fail "no $event: $(cat "$side/events")"
	done
	rm "$mnt/vim"/* || fail rm
}

# What was typed is found in the swap file of a vim that was killed.
vim_recovers() {
	local file=$mnt/vim/killed i

	claim "vim: a killed one's swap file is recovered, after a killed daemon"
	seq 1000 >"$file"
	mkfifo "$side/keys"
	vim_edit "$file" <"$side/keys" >/dev/null 2>&1 &
	exec 4>"$side/keys"
	printf '%s\n' '500s/.*/typed/' preserve "w! $side/preserved" >&4
	for ((i = 0; i < 200; i++)); do
		[[ ! -s $side/preserved ]] || break
		sleep 0.1
	done
	kill -KILL $!
	wait $! 2>/dev/null
	exec 4>&-
	store_kill
	store_mount
	expect 0 500 sed -n 500p "$file"
	try vim_edit -r "$file" -c wq
	expect 0 typed sed -n 500p "$file"
}

program_vim() {
	did "edits with backup and swap, three backupcopy, inotify; -r"
	mkdir "$mnt/vim"
	for how in yes no auto; do
		vim_edits "$how"
	done
	vim_recovers
}

# ---- make and a compiler ----

# Tests that write files, and one that mounts a store of the mount.
make_tests=(tests/env_test tests/db_test tests/wal_test tests/tree_test)

make_in() {
	env -C "$mnt/build" TMPDIR="$mnt/tmp" srcdir=../keyfs \
		KEYFS="$mnt/build/keyfs" "$@"
}

program_make() {
	local test

	did "keyfs, built with -j2; ${#make_tests[@]} test programs; a mount of a mount"
	claim "keyfs is built on its own mount"
	try make -C "$build" distdir distdir="$mnt/keyfs" || return
	mkdir "$mnt/build" "$mnt/tmp" || fail mkdir
	try make_in ../keyfs/configure --disable-shared CFLAGS='-g -O1' &&
		try make_in make -j2 keyfs "${make_tests[@]}" || return
	try make_in make keyfs
	! grep '^  CC' "$out" || fail "built once more: $(head -n 3 "$out")"
	for test in "${make_tests[@]}"; do
		claim "$test passes there"
		try make_in "./$test"
	done
	claim "what was built mounts a store that lies on the mount"
	try make_in bash ../keyfs/tests/cli.sh
	expect 0 "" ls -A "$mnt/tmp"
}
