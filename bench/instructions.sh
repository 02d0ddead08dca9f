#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# bench/instructions.sh [--ours] [--update WHY] BUILDDIR
# bench/instructions.sh --compare RESULT BASELINE
#
# How many instructions a packet takes on each path, under each kernel in $KERNELS (as in
# scripts/kernels/kernel.sh), in virtual machines whose clock counts instructions; README.md says
# how. A table of all, then a line for each path of ours as compared with bench/baseline/KERNEL.json,
# and at the end
#
#   N passed, N failed, N skipped
#
#   --ours          only our paths and what they are compared with, for continuous integration
#   --update WHY    write the baselines; WHY says what changed
#   --compare       no machine: BUILDDIR/kernels/instructions/KERNEL/result.json of an earlier run
#
#   KERNELS   default: 6.1 6.12
#   PARALLEL  1 (default): all kernels at once; 0: one after the other
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
tree=$(dirname "$here")

usage() {
	sed -n 's/^# \(bench\/instructions.sh .*\)/usage: \1/p' "$0" >&2
	exit 2
}
die() {
	echo "instructions.sh: $*" >&2
	exit 1
}
# with_jq EXPRESSION [ARGUMENTS...]: one of instructions.jq's functions.
with_jq() {
	local expression=$1
	shift
	jq -rn -L "$here" "$@" "include \"instructions\"; $expression"
}

# --- measuring ---

groups=(flows rules prefixes miss local family size forward passed base)
contenders=

# What is not in the guest's memory has to wait for the disk, and meanwhile the clock jumps from timer
# to timer, so that whoever waits with a limit gives up too early. The neighbours make the kernel's
# table of them large: in a small one some of ours stand behind another by accident, which costs
# their packets 5 instructions.
guest() {
	cat <<-END
		cat build/ctbypass build/bench/ctbypass-bench /usr/sbin/{nft,ipset,ethtool,xtables-*-multi} \
			/usr/bin/{bash,ip} /lib/x86_64-linux-gnu/*.so* >/dev/null 2>&1
		ip link add n0 type veth peer name n1 && ip link set n0 up
		for i in {0..15}; do
			for k in {0..255}; do
				echo "neigh add 10.9.\$i.\$k lladdr 02:00:00:00:00:01 nud permanent dev n0"
			done
		done | ip -batch -
		ip link del n0
		# Modules and files that it takes to find out what there is: not when it is counted.
		build/ctbypass features >/dev/null
		[[ ! -e build/kmod/nf_untrack_bpf.ko ]] || insmod build/kmod/nf_untrack_bpf.ko
		mkdir -p build/log
		uname -r >build/log/kernel
		status=0
		for group in ${groups[*]}; do
			build/bench/ctbypass-bench -i -q -r 3 -p 20000 -g "\$group" ${contenders:+-o $contenders} \
				--json "build/log/\$group.json" || status=1
		done
		exit \$status
	END
}

# measure KERNEL DIR: leaves DIR/result.json. A table of 100,000 prefixes wants more memory than most.
measure() {
	local dir=$2 g results=()
	VM_ICOUNT=1 VM_TIMEOUT=${VM_TIMEOUT:-7200} VM_MEMORY=${VM_MEMORY:-5120} \
		"$tree/scripts/kernels/vm.sh" -b "$build" "$1" "$dir" "$(guest)" >"$dir/said" 2>&1
	for g in "${groups[@]}"; do
		[[ ! -s $dir/log/$g.json ]] || results+=("$dir/log/$g.json")
	done
	((${#results[@]})) || return
	jq -s . "${results[@]}" >"$dir/rows.json"
	with_jq 'result($kernel; $qemu; $groups[0])' --arg kernel "$(<"$dir/log/kernel")" --arg qemu "$(
		qemu-system-x86_64 --version | sed -nE '1s/.*version ([0-9.]+).*/\1/p')" \
		--slurpfile groups "$dir/rows.json" >"$dir/result.json" || rm -f "$dir/result.json"
}

# --- comparing ---

# compare KERNEL RESULT BASELINE
compare() {
	if [[ ! -s $3 ]]; then
		echo "skip bench/instructions $1: no ${3#"$tree"/}"
		return
	fi
	with_jq 'compare($name; $result[0]; $baseline[0])' --arg name "$1" --slurpfile result "$2" \
		--slurpfile baseline "$3" || echo "FAIL bench/instructions $1: cannot compare $2 with $3"
}

# said_why KERNEL DIR: was the baseline raised by a commit, or here since the last one, that left its
# "why" as it was?
said_why() {
	local file=bench/baseline/$1.json before
	before=$(git -C "$tree" log -n 1 --format=%H -- "$file" 2>/dev/null)
	[[ -n $before ]] || return 0
	! git -C "$tree" diff --quiet HEAD -- "$file" || before+=^
	git -C "$tree" show "$before:$file" >"$2/before.json" 2>/dev/null || return 0 # none, or cut off
	with_jq 'said_why($name; $was[0]; $is[0])' --arg name "$1" --slurpfile was "$2/before.json" \
		--slurpfile is "$tree/$file"
}

# update KERNEL RESULT BASELINE
update() {
	local old='{"instructions":{}}'
	[[ ! -s $3 ]] || old=$(<"$3")
	if [[ $(jq -r '.why // ""' <<<"$old") == "$why" ]]; then
		echo "FAIL bench/instructions $1: that is what its baseline says already: $why"
		return
	fi
	mkdir -p "${3%/*}"
	if with_jq 'baseline($why; $result[0]; $old)' -S --indent 1 --arg why "$why" \
		--slurpfile result "$2" --argjson old "$old" >"$3.new"; then
		mv "$3.new" "$3"
		echo "pass bench/instructions $1: wrote ${3#"$tree"/}"
	else
		rm -f "$3.new"
		echo "FAIL bench/instructions $1: cannot write ${3#"$tree"/}"
	fi
}

# report KERNEL DIR
report() {
	local dir=$2 baseline=$here/baseline/$1.json whole=1 g
	for g in "${groups[@]}"; do
		[[ -s $dir/log/$g.json ]] && continue
		whole=0
		echo "FAIL bench/instructions $1 $g: no figures: $(
			sed -nE 's/^(ctbypass-bench|kernel.sh|images.sh|qemu[^:]*): //p' "$dir/said" |
				grep -E "^$g:" || tail -n 1 "$dir/said")"
	done
	[[ -s $dir/result.json ]] || return
	with_jq 'asked($name; $result[0])' --arg name "$1" --slurpfile result "$dir/result.json"
	if [[ -z $why ]]; then
		compare "$1" "$dir/result.json" "$baseline"
		said_why "$1" "$dir"
	elif ((whole)); then
		update "$1" "$dir/result.json" "$baseline"
	fi
}

table() {
	local results=() k
	for k in "${kernels[@]}"; do
		[[ ! -s $out/$k/result.json ]] || results+=("$out/$k/result.json")
	done
	((${#results[@]})) || return
	jq -rs -L "$here" 'include "instructions"; table(.)' "${results[@]}" |
		awk -F '\t' '{ printf "%-60s", $1; for (i = 2; i <= NF; i++) printf " %12s", $i; print "" }'
	echo
}

totals() {
	local lines
	lines=$(cat)
	echo "$lines"
	printf '%d passed, %d failed, %d skipped\n' "$(grep -c '^pass ' <<<"$lines")" \
		"$(grep -c '^FAIL ' <<<"$lines")" "$(grep -c '^skip ' <<<"$lines")"
	! grep -q '^FAIL ' <<<"$lines"
}

# --- main ---

ours=0 why=
while [[ ${1:-} == --* ]]; do
	case $1 in
	--ours) ours=1 ;;
	--update)
		why=${2:-}
		[[ -n $why ]] || die "--update: say why"
		shift
		;;
	--compare)
		(($# == 3)) || usage
		compare "$(basename "$3" .json)" "$2" "$3" | totals
		exit
		;;
	*) usage ;;
	esac
	shift
done
(($# == 1)) || usage
build=$(realpath "$1")
[[ -x $build/bench/ctbypass-bench ]] || die "$1/bench/ctbypass-bench is not built"
if ((ours)); then
	[[ -z $why ]] || die "--update measures everything"
	groups=("${groups[@]:0:9}")
	contenders=source,none,tracked,nft,ctbypass,ctbypass-direct,bare-direct,forward-tc,forward-xdp,bare-tc,bare-xdp
fi
read -ra kernels <<<"${KERNELS:-6.1 6.12}"
out=$build/kernels/instructions

for k in "${kernels[@]}"; do
	[[ $k =~ ^[0-9]+\.[0-9]+$ ]] || die "$k: name kernels as their baselines are, 6.12"
	rm -rf "${out:?}/$k"
	mkdir -p "$out/$k"
	if [[ ${PARALLEL:-1} == 0 ]]; then
		measure "$k" "$out/$k"
	else
		measure "$k" "$out/$k" &
	fi
done
wait
table
for k in "${kernels[@]}"; do
	report "$k" "$out/$k"
done | totals
