#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# scripts/kernels/vm.sh [-b BUILDDIR] KERNEL OUTDIR COMMAND     run a command, in a shell, under KERNEL
# scripts/kernels/vm.sh [-b BUILDDIR] KERNEL                    a shell there
#
# A virtual machine of its own with that kernel (see kernel.sh), this Debian's programs, and a copy
# of the project in /w. Nothing in it outlives it but, in OUTDIR, `output` (what the command said),
# `console` (what the kernel said) and log/ (its build/log). The exit status is the command's, or
# 125 when the machine did not come to its end.
#
#   VM_TIMEOUT  seconds the machine may run for (default 3600)
#   VM_CPUS     processors (default 2)
#   VM_MEMORY   megabytes (default 3072)
#   VM_CPU      of qemu; by default without erms, as which emulation goes byte by byte, so that to
#               clear a page takes eight times as long, and with page tables of four levels
#   VM_ACCEL    of qemu (default tcg,thread=single: emulation works everywhere, and a kernel that
#               changes its own instructions while another processor runs them dies now and then
#               when each processor is a thread)
#   VM_ICOUNT   1: one CPU whose clock counts instructions, one a nanosecond, and jumps to the next
#               timer when there is nothing to do (implies VM_CPUS=1 and tcg)
#   VM_APPEND   more for the kernel's command line
#   VM_PLUGIN   a plugin for qemu, with its arguments
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

build=$here/../../build
if [[ ${1:-} == -b ]]; then
	build=$2
	shift 2
fi
kernel=${1:?usage: vm.sh [-b BUILDDIR] KERNEL [OUTDIR COMMAND]}
out=${2:-}
command=${3:-}
[[ -z $out || -n $command ]] || {
	echo "usage: vm.sh [-b BUILDDIR] KERNEL [OUTDIR COMMAND]" >&2
	exit 2
}
cache=$build/kernels
mkdir -p "$cache"
cache=$(realpath "$cache")

# One at a time makes what all share; each has its own copy of the project.
exec {lock}>"$cache/lock"
flock "$lock"
info=$("$here/kernel.sh" "$kernel" "$cache")
mapfile -t info <<<"$info"
version=${info[0]} image=${info[1]}
"$here/images.sh" root "$cache" "$build"
"$here/images.sh" modules "$cache" "$version" "${info[2]}"
# Where there are no headers of the kernel, there is no module.
"$here/kmod.sh" "$version" "${info[2]}" "$cache" "$cache/$version/kmod" || [[ $? == 77 ]]
exec {lock}>&-

work=$(mktemp -d "$cache/vm.XXXXXX")
trap 'rm -rf "$work"' EXIT
"$here/images.sh" project "$build" "$work/project.img" "$cache/$version/kmod"
truncate -s 256M "$work/results"

tty=stdio
echo "${command:-
stty rows $(tput lines 2>/dev/null || echo 25) cols $(tput cols 2>/dev/null || echo 80)
export TERM=${TERM:-vt100}
echo 'Linux $version; the project is in /w; scripts/lab.sh opens a lab; exit switches off'
bash -i}" >"$work/command"
[[ -n $out ]] || tty=mon:stdio # Ctrl-C is the guest's
(cd "$work" && echo command | cpio -o -H newc --quiet) | cat "$cache/$version/initrd" - >"$work/initrd"

cpus=${VM_CPUS:-2} accel=${VM_ACCEL:-tcg,thread=single} clock=()
if [[ ${VM_ICOUNT:-0} != 0 ]]; then
	cpus=1 accel=tcg clock=(-icount shift=0,sleep=off -rtc clock=vm -seed 1)
fi
disks=()
for disk in "$cache/root.img" "$cache/$version/modules.img" "$work/project.img" "$work/results"; do
	snapshot=on
	[[ $disk != "$work/results" ]] || snapshot=off
	disks+=(-drive "file=$disk,format=raw,if=virtio,snapshot=$snapshot,cache=unsafe")
done
# TMPDIR is where qemu keeps what the guest writes to the disks.
# An emulated timer of a busy host may be late, which must not look like none (no_timer_check).
qemu=(env TMPDIR="$work" timeout --foreground -k 5 "${VM_TIMEOUT:-3600}" qemu-system-x86_64
	-accel "$accel" -cpu "${VM_CPU:-max,erms=off,la57=off}" -smp "$cpus" "${clock[@]}"
	-m "${VM_MEMORY:-3072}"
	${VM_PLUGIN:+-plugin "$VM_PLUGIN"}
	-nodefaults -nographic -no-reboot -kernel "$image" -initrd "$work/initrd"
	-append "console=ttyS0 loglevel=6 no_timer_check panic=-1 oops=panic ${VM_APPEND:-}" "${disks[@]}"
	-serial "file:$work/console" -serial "$tty")

if [[ -z $out ]]; then
	"${qemu[@]}"
	exit
fi
mkdir -p "$out"
rm -rf "${out:?}"/{output,console,log}
"${qemu[@]}" </dev/null | tee "$out/output" || true
cp "$work/console" "$out/"
tar -C "$out" -xf "$work/results" 2>/dev/null || true # nothing when it did not get that far
status=$(sed -n 's/^vm: exit status \([0-9]*\)$/\1/p' "$out/output" | tail -n 1)
exit "${status:-125}"
