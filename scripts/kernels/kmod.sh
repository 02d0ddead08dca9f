#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# scripts/kernels/kmod.sh VERSION MODULESDIR CACHEDIR OUTDIR
#
# Build kmod/ for a packaged kernel that is not this machine's, into OUTDIR, without installing
# anything: its headers come by apt, are kept in CACHEDIR and used from there. MODULESDIR is the
# kernel's lib/modules/VERSION; its image, which has the BTF that older headers lack, is looked for
# from there. Quick when nothing has changed. Exit status 77: there are no headers for it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
version=${1:?usage: kmod.sh VERSION MODULESDIR CACHEDIR OUTDIR} modules=$2 cache=$3 out=$4
kmod=$here/../../kmod

mkdir -p "$cache" "$out"
cache=$(realpath "$cache")
headers=$cache/linux-headers-$version

# fetch DIR PACKAGE...: unpacked below DIR, whole or not at all
fetch() {
	local dir=$1 tmp=$1.new
	shift
	rm -rf "$tmp"
	mkdir -p "$tmp/debs"
	echo "fetching $*" >&2
	(cd "$tmp/debs" && apt-get -qq -o APT::Sandbox::User=root -o Acquire::Retries=3 \
		download "$@" >&2) || {
		rm -rf "$tmp"
		return 1
	}
	for deb in "$tmp"/debs/*.deb; do
		dpkg-deb -x "$deb" "$tmp"
	done
	rm -rf "$tmp/debs"
	mv "$tmp" "$dir"
}

if [[ ! -d $headers ]]; then
	# The compiler they want (linux-compiler-*, gcc-*) is this machine's.
	mapfile -t packages < <(apt-cache depends --no-recommends --no-suggests --no-conflicts \
		--no-breaks --no-replaces "linux-headers-$version" 2>/dev/null |
		sed -nE 's/^ *Depends: (linux-(headers|kbuild)-.*)/\1/p')
	((${#packages[@]})) && fetch "$headers" "linux-headers-$version" "${packages[@]}" || exit 77
	# They name each other by where they would have been installed.
	grep -rlI '/usr/src/linux-headers' "$headers"/usr/src/*/Makefile |
		xargs -r sed -i "s,/usr/src/linux-headers,$headers&,"
fi
pahole=$(command -v pahole) || {
	[[ -d $cache/pahole ]] || fetch "$cache/pahole" pahole || exit 77
	pahole=$cache/pahole/usr/bin/pahole
}

stamp=$(cat "$kmod"/{*.[ch],Kbuild,Makefile,btf.sh} | cksum; echo "$version")
[[ ! -s $out/nf_untrack_bpf.ko || $(cat "$out/made" 2>/dev/null) != "$stamp" ]] || exit 0
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
cp -a "$kmod"/. "$build/"
# btf.sh looks for the image beside the headers.
ln -sfn "$(realpath "$modules/../../../boot/vmlinuz-$version")" "$headers/usr/src/vmlinuz"
make -s -C "$build" KVER="$version" KDIR="$headers/usr/src/linux-headers-$version" PAHOLE="$pahole" \
	>&2
cp "$build/nf_untrack_bpf.ko" "$out/"
# For the test of what becomes of one that was built without.
objcopy -R .BTF "$out/nf_untrack_bpf.ko" "$out/nf_untrack_bpf.nobtf"
echo "$stamp" >"$out/made"
