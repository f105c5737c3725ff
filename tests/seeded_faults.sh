#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# seeded_faults.sh - shows that the tests notice: puts the faults of seeded_faults
# into a copy of the code, one at a time, and runs the test that must fail.
#
#	tests/seeded_faults.sh [-n] [NAME...]
#
# With names only the faults that begin so.  -n: only looks whether each fault still has
# its place in the code, which takes no time; contrib/check does.  The copy is built once, without
# sanitizers, in KEYFS_FAULTS_DIR (default: a new directory, removed at the end);
# before a test is believed, it must pass without a fault.  Prints a line for each
# fault and a total; the status is 0 if all were caught.
set -u
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P) || exit 1
table=$top/tests/seeded_faults
seconds_max=600
# The size of the random tests, always the same.
export KEYFS_TEST_SEED=1 KEYFS_TEST_POINTS=${KEYFS_TEST_POINTS:-14}

die() {
	echo "seeded_faults: $*" >&2
	exit 2
}

if [[ -n ${KEYFS_FAULTS_DIR:-} ]]; then
	dir=$KEYFS_FAULTS_DIR
	mkdir -p "$dir" || exit 2
else
	dir=$(mktemp -d) || exit 2
	trap 'rm -rf "$dir"' EXIT
fi

# ---- The copy ----

# Without what is built beside the sources.
copy_tree() {
	local skip=(--exclude=./.git) status

	for status in "$top"/*/config.status; do
		[[ -e $status ]] || continue
		status=${status%/config.status}
		skip+=("--exclude=./${status##*/}")
	done
	rm -rf "$dir/tree" "$dir/build"
	mkdir -p "$dir/tree" "$dir/build" || die "no directory"
	tar -C "$top" "${skip[@]}" -cf - . |
		tar -C "$dir/tree" -xf - || die "the tree cannot be copied"
	[[ -x $dir/tree/configure ]] ||
		(cd "$dir/tree" && autoreconf -i) >"$dir/log" 2>&1 ||
		die "autoreconf failed: $dir/log"
	(cd "$dir/build" && ../tree/configure --disable-shared CFLAGS='-g -O1') \
		>"$dir/log" 2>&1 || die "configure failed: $dir/log"
}

build() {
	make -C "$dir/build" -s "tests/$1" >"$dir/log" 2>&1
}

# run TEST SCRIPT: the status of the test; one that hangs has failed.
run() {
	(
		cd "$dir/build" || exit 2
		[[ -z $2 ]] || export KEYFS_TEST_SCRIPT=$2
		timeout "$seconds_max" "tests/$1"
	) >"$dir/log" 2>&1
}

# ---- One fault ----

# with_fault FILE: prints it with $new in the place of $old; both end in a newline.
with_fault() {
	local text before after

	text=$'\n'$(cat "$1" && echo x) || die "$name: no $file"
	text=${text%x}
	before=${text%%$'\n'"$old"*}
	[[ $before != "$text" ]] || die "$name: not found in $file"
	after=${text#*$'\n'"$old"}
	[[ $after != *$'\n'"$old"* ]] || die "$name: found twice in $file"
	text=$before$'\n'$new$after
	printf '%s' "${text#$'\n'}"
}

declare -A passes
caught=0
missed=0

# A test that fails anyway shows nothing.
must_pass() {
	[[ -z ${passes[$test]:-} ]] || return 0
	build "${test%% *}" || die "tests/${test%% *} does not build: $dir/log"
	run "${test%% *}" "$script" ||
		die "$test fails without a fault: $(tail -n 3 "$dir/log")"
	passes[$test]=1
}

try_fault() {
	local source=$dir/tree/$file script=${test#"${test%% *}"}

	script=${script# }
	must_pass
	cp -p "$source" "$dir/saved" || die "no copy of $file"
	with_fault "$dir/saved" >"$source" || exit
	build "${test%% *}" || die "$name: does not build: $(tail -n 5 "$dir/log")"
	if run "${test%% *}" "$script"; then
		echo "$name: NOT CAUGHT by $test"
		missed=$((missed + 1))
	else
		echo "$name: caught by $test"
		caught=$((caught + 1))
	fi
	cat "$dir/saved" >"$source"
}

# ---- The table ----

wanted() {
	local prefix

	[[ $# -gt 0 ]] || return 0
	for prefix in "${names[@]}"; do
		[[ $name != "$prefix"* ]] || return 0
	done
	return 1
}

# Tries the fault that was read, if one was.
end_fault() {
	[[ -n $name ]] || return 0
	[[ -n $file && -n $test && -n $old ]] || die "$name: incomplete"
	if wanted "${names[@]}"; then
		if [[ -n $look ]]; then
			(with_fault "$top/$file") >/dev/null || missed=$((missed + 1))
			caught=$((caught + 1))
		else
			try_fault
		fi
	fi
	name=
}

look=
if [[ ${1-} == -n ]]; then
	look=yes
	shift
fi
names=("$@")
name=
[[ -n $look ]] || copy_tree
while IFS= read -r line || [[ -n $line ]]; do
	case $line in
	'fault '*)
		end_fault
		name=${line#fault } file='' test='' old='' new=''
		;;
	'file '*) file=${line#file } ;;
	'test '*) test=${line#test } ;;
	-*) old+=${line#-}$'\n' ;;
	+*) new+=${line#+}$'\n' ;;
	'#'* | '') ;;
	*) die "not understood: $line" ;;
	esac
done <"$table"
end_fault

if [[ -n $look ]]; then
	echo "$caught faults, $missed without a place in the code"
	[[ $caught -gt 0 && $missed -eq 0 ]]
	exit
fi
echo "$caught caught, $missed not caught"
echo "cases: $((caught + missed))"
[[ $caught -gt 0 && $missed -eq 0 ]]
