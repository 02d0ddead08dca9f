#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# scripts/kernels/kernel.sh KERNEL CACHEDIR
#
# Find a kernel to boot, fetching it if need be, and print its version, its image and its directory
# of modules, a line each. KERNEL is
#   6.1                      Debian's newest cloud kernel of that version
#   linux-image-...          a package
#   DIR                      has boot/vmlinuz-* and lib/modules/*, as in an unpacked package
#   FILE                     a kernel image; its modules are in ../lib/modules or in /lib/modules
# Packages are kept in CACHEDIR, and used from there when apt has none.
set -euo pipefail

kernel=${1:?usage: kernel.sh KERNEL CACHEDIR}
cache=${2:?usage: kernel.sh KERNEL CACHEDIR}

die() {
	echo "kernel.sh: $*" >&2
	exit 1
}

# found IMAGE VERSION MODULES
found() {
	[[ -s $1 ]] || die "no kernel image $1"
	[[ -d $3 ]] || die "no modules of $2 in $3"
	printf '%s\n' "$2" "$(realpath "$1")" "$(realpath "$3")"
	exit 0
}

# Whole trees: one kernel each, or the caller must name the image.
found_below() {
	local images=("$1"/boot/vmlinuz-*) version
	[[ -e ${images[0]} ]] || die "no boot/vmlinuz-* in $1"
	((${#images[@]} == 1)) || die "several kernels in $1/boot: name one of ${images[*]}"
	version=${images[0]##*/vmlinuz-}
	found "${images[0]}" "$version" "$1/lib/modules/$version"
}

if [[ -d $kernel ]]; then
	found_below "$kernel"
elif [[ -f $kernel ]]; then
	version=${kernel##*/vmlinuz-}
	for modules in "${kernel%/*}/../lib/modules/$version" "/lib/modules/$version"; do
		[[ -d $modules ]] && found "$kernel" "$version" "$modules"
	done
	die "no directory lib/modules/$version for $kernel"
fi

name=$(sed 's/[.+]/[&]/g' <<<"$kernel")
case $kernel in
linux-image-*) pattern="^$name\$" ;;
[0-9]*.[0-9]*) pattern="^linux-image-${name}[.+-][^ ]*-cloud-amd64(-unsigned)?\$" ;;
*) die "$kernel is neither a version, a package, a directory nor a kernel image" ;;
esac

# The newest of the packages that fit; of one version rather the signed one, which is in use.
newest() {
	{ grep -E "$pattern" || true; } | sed 's/$/ 1/; s/-unsigned 1$/ 0/' | sort -V | tail -n 1 |
		sed 's/ 0$/-unsigned/; s/ 1$//'
}
known() { apt-cache pkgnames linux-image- 2>/dev/null | newest; }
# Unpacked below their package's name, once whole.
cached() { find "$cache" -mindepth 1 -maxdepth 1 -name 'linux-image-*' -printf '%f\n' | newest; }

mkdir -p "$cache"
unpack() {
	local package=$1 tmp=$cache/new.$1
	rm -rf "$tmp"
	mkdir -p "$tmp"
	# As root apt would have a user do it who may not write here.
	if (cd "$tmp" && apt-get -qq -o APT::Sandbox::User=root -o Acquire::Retries=3 \
		download "$package" >&2) && dpkg-deb -x "$tmp"/*.deb "$tmp" && rm "$tmp"/*.deb; then
		mv "$tmp" "$cache/$package"
	else
		rm -rf "$tmp"
		return 1
	fi
}

package=$(known)
if [[ -z $package && $(id -u) == 0 ]]; then
	apt-get -qq -o Acquire::Retries=3 update >&2 || true
	package=$(known)
fi
if [[ -n $package && ! -d $cache/$package ]]; then
	echo "fetching $package" >&2
	unpack "$package" || {
		# Package lists may be older than what the mirror has.
		[[ $(id -u) == 0 ]] && apt-get -qq -o Acquire::Retries=3 update >&2
		package=$(known)
		unpack "$package"
	} || package=
fi
[[ -n $package ]] || package=$(cached)
[[ -n $package ]] || die "no package for kernel $kernel, neither from apt nor in $cache"
found_below "$cache/$package"
