#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# scripts/kernels/check.sh BUILDDIR [PATTERN...]
#
# The tests of BUILDDIR (only those whose group/name has one of the PATTERNs in it) under each kernel in
# $KERNELS (see kernel.sh), each in a virtual machine. Ends with a table of kernels by groups of
# tests, what failed and what was skipped for which reason, what the verifier had to look at, and
#
#   N passed, N failed, N skipped
#
# What the kernel itself complains about is a failure, and so is a machine that does not come to
# its end. Everything is kept in BUILDDIR/kernels/log/KERNEL.
#
#   KERNELS   default: 6.1 6.12
#   FEW       1: only some of the program tests, the scenarios with a line `# kernels: few`, and, in
#             direct mode, those with a line `# kernels: few direct`
#   DIRECT    1: only scenarios, in direct mode, with the module of kmod/ loaded
#   PARALLEL  1 (default): all kernels at once; 0: one after the other
#   CTB_CONFINE  1: the daemons of all scenarios run under the systemd unit's restrictions
#   VM_APPEND  for the kernel's command line, default spectre_v2=off: no retpolines, which emulation
#              takes long for and no test is about
#   CTB_ROUNDS  how often the module comes and goes in the scenarios about that (FEW: 2)
#   CTB_AGAIN  1: see tests/run.sh; the default with FEW=1, whose answer does not wait for a quiet host
#   CTB_SLOW  how much longer than on real hardware things may take (default 8)
set -uo pipefail
# All tests take hours, and who has less time says so to us as a whole.
export VM_TIMEOUT=${VM_TIMEOUT:-21600} VM_APPEND=${VM_APPEND-spectre_v2=off}
here=$(cd "$(dirname "$0")" && pwd)
build=$(realpath "${1:?usage: check.sh BUILDDIR [PATTERN...]}")
shift
read -ra kernels <<<"${KERNELS:-6.1 6.12}"

cd "$here/../.." || exit
few() { grep -lx "# kernels: $1" tests/e2e/*.sh | sed 's,^tests/,,'; }
patterns=("$@") direct=()
if [[ ${DIRECT:-0} == 1 ]]; then
	direct=("${patterns[@]:-e2e/}") patterns=()
	[[ ${FEW:-0} != 1 || $# != 0 ]] || mapfile -t direct < <(few "few direct")
elif ((!${#patterns[@]})); then
	# Of the unit tests those that ask the kernel, which they do in a namespace of their own.
	mapfile -t patterns < <(grep -lE 'unshare\(|nft_netns\.h' tests/unit/test_*.c |
		sed 's,^tests/,,; s,\.c$,,')
	if [[ ${FEW:-0} == 1 ]]; then
		# Without those that judge many thousand packets by logic that is no kernel's.
		patterns+=(prog/test_{verifier,static_functions,live,parse,classify,output} prog/test_forward_reasons)
		mapfile -t -O ${#patterns[@]} patterns < <(few few)
		mapfile -t direct < <(few "few direct")
		export CTB_ROUNDS=${CTB_ROUNDS:-2} # how often the module comes and goes
		export CTB_AGAIN=${CTB_AGAIN-1}
	else
		patterns+=(prog/ e2e/)
	fi
fi
printf -v command 'export CTB_SLOW=%q CTB_CONFINE=%q CTB_ROUNDS=%q CTB_AGAIN=%q\nstatus=0' \
	"${CTB_SLOW:-8}" "${CTB_CONFINE:-}" "${CTB_ROUNDS:-}" "${CTB_AGAIN:-}"
add() { # VARIABLE=VALUE PATTERN...
	local words
	(($# > 1)) || return 0
	printf -v words ' %q' "${@:2}"
	command+=$'\n'"$1 tests/run.sh build$words || status=1"
}
add CTB_DIRECT=0 "${patterns[@]}"
add CTB_DIRECT=1 "${direct[@]}"
command+=$'\nexit $status'

# Lines of tests/run.sh as they come, with the kernel's name in front, but no details and no totals.
progress() { sed -un "s/^\(pass\|FAIL\|skip\|again\) /$1: &/p"; }

run() {
	local name=$1 out=$2 started=$SECONDS status=0
	"$here/vm.sh" -b "$build" "$name" "$out" "$command" 2>"$out/errors" | progress "${name##*/}" ||
		status=${PIPESTATUS[0]}
	echo "$status" >"$out/status"
	echo $((SECONDS - started)) >"$out/seconds"
}

logs=$build/kernels/log
mkdir -p "$logs"
outs=()
for k in "${kernels[@]}"; do
	out=$logs/${k//\//_}
	rm -rf "$out"
	mkdir -p "$out"
	outs+=("$out")
	if [[ ${PARALLEL:-1} == 0 ]]; then
		run "$k" "$out"
	else
		run "$k" "$out" &
	fi
done
wait

"$here/report.sh" "${outs[@]}"
