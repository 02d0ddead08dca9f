#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# btf.sh MODULE.ko: see to it that the module has BTF, without which the kernel takes it and knows
# no kfunc of it. The kernel's own build does that where the headers come with a vmlinux (Debian's
# do from 6.12 on). Where they do not, it is done here, with the kernel's BTF from the first of
#   $KBTF                     if given: a vmlinux, or a copy of some /sys/kernel/btf/vmlinux
#   /sys/kernel/btf/vmlinux   if $KVER is what runs
#   /boot/vmlinuz-$KVER, $KDIR/../vmlinuz
set -eu

ko=${1:?usage: btf.sh MODULE.ko}
kver=${KVER:-$(uname -r)}
pahole=${PAHOLE:-pahole}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

die() {
	echo "btf.sh: $*" >&2
	exit 1
}

has_section() { readelf -SW "$2" | grep -q "] $1 "; }

# Numbers of the set that the module registers, four bytes each: 0 where nobody has filled them in.
section() { objcopy -O binary --only-section="$1" --set-section-flags "$1=alloc" "$2" "$3"; }
unresolved() {
	section .BTF_ids "$ko" "$tmp/ids"
	# How many functions the first set has is its first number.
	[ "$(od -An -tu4 -N4 "$tmp/ids" | tr -d ' ')" = 0 ]
}

# image FILE: the vmlinux in a kernel image, found by what compressors write in front.
image() {
	for how in 'gunzip:\037\213\010' 'unxz:\3757zXZ\000' 'unzstd:(\265/\375' 'unlz4:\002!L\030' \
		'bunzip2:BZh'; do
		command -v "${how%%:*}" >/dev/null || continue
		# shellcheck disable=SC2059 # the bytes are the format
		printf "${how#*:}" >"$tmp/magic"
		LC_ALL=C grep -abo -F -f "$tmp/magic" "$1" 2>/dev/null | cut -d : -f 1 >"$tmp/at" || true
		while read -r at; do
			# Behind the end of the compressed data there is more, which they complain of.
			tail -c "+$((at + 1))" "$1" | "${how%%:*}" >"$tmp/vmlinux" 2>/dev/null || true
			[ "$(head -c 4 "$tmp/vmlinux" | od -An -tx1)" = ' 7f 45 4c 46' ] || continue
			has_section .BTF "$tmp/vmlinux" 2>/dev/null && return
		done <"$tmp/at"
	done
	return 1
}

kernel_btf() {
	if [ -n "${KBTF:-}" ]; then
		[ -s "$KBTF" ] || die "no BTF in $KBTF"
		echo "$KBTF"
	elif [ "$kver" = "$(uname -r)" ] && [ -r /sys/kernel/btf/vmlinux ]; then
		echo /sys/kernel/btf/vmlinux
	else
		for f in "/boot/vmlinuz-$kver" "${KDIR:+$KDIR/../vmlinuz}"; do
			[ -r "$f" ] && image "$f" && echo "$tmp/vmlinux" && return
		done
		die "no BTF of kernel $kver: neither is it running nor is there a usable" \
			"/boot/vmlinuz-$kver. Build under that kernel, or name it with KBTF="
	fi
}

# The numbers of the functions that the module exports to BPF, where the kernel's build has no
# resolve_btfids for it. Each set has one function.
resolve() {
	readelf -h "$ko" | grep -q 'little endian' || die "resolve_btfids is needed on big-endian machines"
	command -v bpftool >/dev/null || die "no bpftool, which tells the numbers of kfuncs: install it"
	bpftool btf dump file "$ko" -B "$1" >"$tmp/btf"
	readelf -sW "$ko" | awk '$8 ~ /^__BTF_ID__/ { print $2, $8 }' >"$tmp/symbols"
	section .BTF_ids "$ko" "$tmp/ids"
	while read -r at symbol; do
		case $symbol in
		__BTF_ID__set8__*) id=1 ;;
		__BTF_ID__func__*)
			name=${symbol#__BTF_ID__func__}
			name=${name%__*}
			id=$(sed -n "s/^\[\([0-9]*\)\] FUNC '$name' .*/\1/p" "$tmp/btf")
			[ -n "$id" ] || die "no function $name in the BTF of $ko"
			;;
		*) die "$symbol: cannot be resolved here" ;;
		esac
		bytes=$(printf '\\%03o\\%03o\\%03o\\%03o' $((id & 255)) $((id >> 8 & 255)) \
			$((id >> 16 & 255)) $((id >> 24 & 255)))
		# shellcheck disable=SC2059
		printf "$bytes" | dd of="$tmp/ids" bs=1 seek=$((0x$at)) conv=notrunc status=none
	done <"$tmp/symbols"
	objcopy --update-section .BTF_ids="$tmp/ids" "$ko"
}

has_section .BTF_ids "$ko" || die "$ko registers no kfuncs: the kernel is built without BTF"
if ! has_section .BTF "$ko"; then
	btf=$(kernel_btf)
	LLVM_OBJCOPY=objcopy "$pahole" -J --btf_base "$btf" "$ko" || die "$pahole failed"
	has_section .BTF "$ko" || die "$pahole made no BTF"
	resolve "$btf"
	echo "  BTF    $ko, from $btf"
fi
! unresolved || die "$ko: numbers of kfuncs are missing from .BTF_ids"
