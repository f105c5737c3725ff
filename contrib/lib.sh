# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# lib.sh - what quickstart and check share: packages, configure, build.
#
# Sourced with $top set to the source tree.  Nothing here reads standard input.

# Everything that building and mounting needs, as Debian 12 names it.
build_packages=(
	autoconf automake gcc libc6-dev libtool make pkg-config
	fuse3 libfuse3-dev liblz4-dev libxxhash-dev
)

say() {
	printf '%s: %s\n' "${0##*/}" "$*"
}

die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# part_of N: that many, or of all that is long an Nth, as $part says; at least one.
part_of() {
	echo $((($1 + part - 1) / part))
}

# Prints those of the packages that are not installed.
packages_missing() {
	local package

	for package; do
		dpkg-query -W -f='${db:Status-Status}\n' "$package" 2>/dev/null |
			grep -qx installed || printf '%s\n' "$package"
	done
}

# Without dpkg nobody can say which packages are there: look for what the build
# calls, and stop with a list if one is absent.
packages_elsewhere() {
	local command

	for command in autoreconf automake gcc libtoolize make pkg-config \
		fusermount3; do
		command -v "$command" >/dev/null ||
			die "$command is missing, and this is not Debian or" \
				"Ubuntu: install what these are called here: $*"
	done
	pkg-config --exists 'fuse3 >= 3.14' liblz4 libxxhash ||
		die "libfuse 3.14, lz4 or xxhash is missing, and this is not" \
			"Debian or Ubuntu: install what these are called here: $*"
}

packages_install() {
	local missing apt=()

	if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null
	then
		packages_elsewhere "$@"
		return
	fi
	mapfile -t missing < <(packages_missing "$@")
	[[ ${#missing[@]} -gt 0 ]] || return 0
	if [[ $EUID -ne 0 ]]; then
		command -v sudo >/dev/null ||
			die "not root, and no sudo; as root, run:" \
				"apt-get install ${missing[*]}"
		apt=(sudo)
	fi
	say "installing ${missing[*]}"
	apt+=(env DEBIAN_FRONTEND=noninteractive apt-get -q -y)
	if ! "${apt[@]}" update ||
		! "${apt[@]}" install --no-install-recommends "${missing[@]}"
	then
		die "apt-get failed; install by hand: ${missing[*]}"
	fi
}

# Makes `configure` if it is absent or older than what it is made from.
tree_bootstrap() {
	if [[ ! -x $top/configure || $top/configure.ac -nt $top/configure ||
		$top/Makefile.am -nt $top/Makefile.in ]]; then
		say "making configure"
		(cd "$top" && autoreconf -fi) || die "autoreconf failed"
	fi
}

# tree_configure DIR [OPTION]...: configures a build directory, again only if
# the options or configure itself changed.
tree_configure() {
	local dir=$1 stamp=$1/configured
	shift

	[[ ! -e $top/config.status ]] ||
		die "$top is built in place; run \`make distclean\` there first"
	mkdir -p "$dir"
	if [[ -e $dir/Makefile && $stamp -nt $top/configure &&
		$(cat "$stamp") == "$*" ]]; then
		return 0
	fi
	(cd "$dir" && "$top/configure" "$@") || return
	printf '%s\n' "$*" >"$stamp"
}
