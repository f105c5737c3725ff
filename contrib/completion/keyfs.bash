# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# keyfs.bash - completes the command line of keyfs(1) in bash.
#
# Installed under the name `keyfs` where the package bash-completion looks for it;
# without that, source it.  tests/completion.sh compares it with `keyfs help`.

_keyfs_commands='mount umount get put rm ls sync stats check repair doctor help'

# A '=' says that a value follows.
_keyfs_mount_options='
	acl allow_other commit_interval= compression= debug lock_wait= memory=
	noacl nonempty noxattr remount ro rw scrub= scrub_interval= stop_timeout=
	threads= timeout=
	async atime dev dirsync exec noatime nodev noexec nosuid suid sync'

# _keyfs_offer PREFIX WORDS: those that begin as $cur does, behind PREFIX.
_keyfs_offer() {
	mapfile -t COMPREPLY < <(compgen -P "$1" -W "$2" -- "${cur#"$1"}")
}

# The last word of a comma list; those before it stay.
_keyfs_offer_mount_options() {
	local before=

	[[ $cur != *,* ]] || before=${cur%,*},
	case ${cur##*,} in
	compression=*) _keyfs_offer "${before}compression=" 'lz4 none' ;;
	scrub=*) _keyfs_offer "${before}scrub=" off ;;
	*=*) ;;
	*) _keyfs_offer "$before" "$_keyfs_mount_options" ;;
	esac
	# Another option or a value may follow.
	compopt -o nospace
}

_keyfs_offer_directories() {
	mapfile -t COMPREPLY < <(compgen -d -- "$cur")
	compopt -o filenames
}

_keyfs_offer_mountpoints() {
	local mountpoint type

	_keyfs_offer_directories
	while read -r _ mountpoint type _; do
		mountpoint=${mountpoint//\\040/ }
		[[ $type != fuse.keyfs || $mountpoint != "$cur"* ]] ||
			COMPREPLY+=("$mountpoint")
	done </proc/self/mounts
}

# _keyfs_offer_paths STORE: what is in the store, a directory with a '/' behind it.
_keyfs_offer_paths() {
	local store=${1//[\\\'\"]/} plain=${cur//[\\\'\"]/} before='' line name
	local long='^([^ ])[^ ]+ +[0-9]+ [^ ]+ +[^ ]+ +[0-9]+ [^ ]+ [^ ]+ (.*)$'

	store=${store/#\~\//$HOME/}
	[[ -e $store/CURRENT ]] || return 0
	[[ $plain != */* ]] || before=${plain%/*}/
	while IFS= read -r line; do
		[[ $line =~ $long ]] || continue
		name=$before${BASH_REMATCH[2]}
		case ${BASH_REMATCH[1]} in
		d) name+=/ ;;
		l) name=${name%% -> *} ;;
		esac
		[[ $name != "$plain"* ]] || COMPREPLY+=("$name")
	done < <("${words[0]}" ls -l "$store" "$before" 2>/dev/null)
	compopt -o filenames
	[[ ${#COMPREPLY[@]} -eq 1 && $name != */ ]] || compopt -o nospace
}

_keyfs_offer_arguments() {
	case $1:$2 in
	umount:0) _keyfs_offer_mountpoints ;;
	help:0) _keyfs_offer '' "$_keyfs_commands" ;;
	help:*) ;;
	mount:[01] | *:0) _keyfs_offer_directories ;;
	get:1 | ls:1 | put:1 | rm:*) _keyfs_offer_paths "$3" ;;
	esac
}

_keyfs_offer_options() {
	case $1 in
	ls) _keyfs_offer '' '-l -R --json' ;;
	mount) _keyfs_offer '' '-d -f -h -s -V -o' ;;
	rm) _keyfs_offer '' '-r' ;;
	check | doctor | stats) _keyfs_offer '' '--json' ;;
	esac
}

# readline breaks words at '=' and ':', too: joins them again, up to the cursor.
_keyfs_join() {
	local i word glue=no

	for ((i = 0; i <= COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		if [[ $glue == yes || $word == [=:]* ]]; then
			words[-1]+=$word
		else
			words+=("$word")
		fi
		glue=no
		[[ $word != *[=:] ]] || glue=yes
	done
}

# readline puts a completion in the place of what is behind the last break only.
_keyfs_cut() {
	local last=${COMP_WORDS[COMP_CWORD]}

	[[ $last != [=:]* ]] || last=${last##*[=:]}
	COMPREPLY=("${COMPREPLY[@]#"${cur%"$last"}"}")
}

_keyfs() {
	local words=() arguments=() cur i

	COMPREPLY=()
	_keyfs_join
	cur=${words[-1]}
	for ((i = 2; i < ${#words[@]} - 1; i++)); do
		case ${words[1]}:${words[i]} in
		mount:-o) i=$((i + 1)) ;;
		put:*) arguments+=("${words[i]}") ;;
		*:-*) ;;
		*) arguments+=("${words[i]}") ;;
		esac
	done
	if [[ ${#words[@]} -eq 2 ]]; then
		_keyfs_offer '' "$_keyfs_commands --help --version"
	elif [[ ${words[1]} == mount && ${words[-2]} == -o ]]; then
		_keyfs_offer_mount_options
	elif [[ $cur == -* ]]; then
		_keyfs_offer_options "${words[1]}"
	else
		_keyfs_offer_arguments "${words[1]}" "${#arguments[@]}" \
			"${arguments[0]-}"
	fi
	_keyfs_cut
}

complete -F _keyfs keyfs
