#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# tests/run.sh [--long] [--jobs N] BUILDDIR [PATTERN...]
#
# Run the Criterion binaries below BUILDDIR/tests and the end-to-end scenarios tests/e2e/NN_*.sh
# (only those whose group/name has one of the PATTERNs in it), print a line for each test and end with
#
#   N passed, N failed, N skipped
#
# A scenario passes when it exits 0 and has said PASS as its last word, is skipped when it exits 77
# and says why, and fails otherwise, also when it takes too long. A part that one left out (lab.sh)
# is a skip beside its pass. Comments in a scenario:
#   # run: alone         nothing else runs beside it
#   # run: long          only with --long
#   # run: confined      also with its daemon under the restrictions of the systemd unit; with --long
#                        all are. The name has " confined" at its end then. CTB_CONFINE=1 in the
#                        environment: so each, and only so
#   # timeout: SECONDS   default 60
#   # run: own hand-over it says itself how the daemon hands over, or starts none: not with CTB_DIRECT=1
#   # kernels: few       is one of the few that scripts/kernels/check.sh runs with FEW=1
#   # kernels: few direct   is one of the few that it runs in direct mode then
# CTB_DIRECT=1: only scenarios, with BUILDDIR/kmod/nf_untrack_bpf.ko loaded, and daemons that do not run in
# direct mode with it fail (see daemon_start in scripts/lab.sh). Their group is "direct".
# CTB_AGAIN=1: a scenario that failed runs once more when all others are done, with nothing beside it, and
# that counts. The first time is told as "again", with what it said. For emulated machines on hosts that
# have other things to do; not for a run that is to find out whether a test holds.
# CTB_SLOW=N makes every limit N times as long (emulated machines). Outputs are kept in
# BUILDDIR/log; measurements that tests put into the directory $CTB_LOG too.
set -uo pipefail
export LC_ALL=C.UTF-8 # Criterion draws its list of tests with what the locale has
slow=${CTB_SLOW:-1}

cd "$(dirname "$0")/.." || exit 1
long=0
jobs=$(nproc)
while [[ ${1:-} == --* ]]; do
	case $1 in
	--long) long=1 ;;
	--jobs)
		jobs=$2
		shift
		;;
	*)
		echo "unknown option $1" >&2
		exit 2
		;;
	esac
	shift
done
build=${1:?usage: tests/run.sh [--long] [--jobs N] BUILDDIR [PATTERN...]}
shift
patterns=("$@")
wanted() { # GROUP/NAME
	local p
	((${#patterns[@]})) || return 0
	for p in "${patterns[@]}"; do
		[[ $1 != *"$p"* ]] || return 0
	done
	return 1
}
log=$build/log
mkdir -p "$log"
results=$(mktemp) failed_once=$(mktemp)
trap 'rm -f "$results" "$failed_once"' EXIT
CTBYPASS=$(realpath -m "$build")/ctbypass
CTB_LOG=$(realpath "$log")
export CTBYPASS CTB_LOG
group=e2e
if [[ ${CTB_DIRECT:-0} == 1 ]]; then
	group=direct
	[[ -s $build/kmod/nf_untrack_bpf.ko ]] || no_module="no module for $(uname -r): there are no headers of it"
else
	rm -f "$log/verifier"
fi

# result pass|FAIL|skip|again NAME SECONDS [WHY]: one write, so that lines of parallel tests stay whole.
result() {
	printf '%s %s\n' "$1" "$2" >>"$results"
	printf '%-4s %s%s%s\n' "$1" "$2" "${3:+ (${3}s)}" "${4:+: $4}"
}

# Tests of a Criterion binary. Every test it lists must show up in its report: one that does not
# has not run, whatever the exit status says.
criterion() {
	local bin=$1 group=$2 name out line test i status=0 started=$SECONDS bad=0
	local -a wrap=() report=()
	name=$group/${bin##*/}
	out=$log/${group}_${bin##*/}.log
	((long)) && export CTB_LONG=1
	# Networks and mounts of their own, whatever the tests do. (In a bare chroot / is no mount point.)
	[[ $(id -u) == 0 ]] && wrap=(unshare --net --mount --propagation private)
	mountpoint -q / || wrap=("${wrap[@]/private/unchanged}")
	local -A listed=()
	local suite=
	while IFS= read -r line; do
		case $line in
		*"── "*) [[ -n $suite ]] && test=${line##*── } && listed[$suite::${test%% *}]=1 ;;
		*:\ *tests*|*:\ *test*) suite=${line%%:*} ;;
		esac
	done < <("$bin" --list 2>/dev/null)
	((${#listed[@]})) || { result FAIL "$name" "" "lists no tests"; return; }

	timeout -k 5 "$( ((long)) && echo 3600 || echo $((240 * slow)))" \
		"${wrap[@]}" "$bin" --tap --jobs "$jobs" >"$out" 2>&1 || status=$?
	mapfile -t report <"$out"
	for i in "${!report[@]}"; do
		[[ ${report[i]} =~ ^(ok|not\ ok)\ -\ ([^ ]+)(.*)$ ]] || continue
		test=${BASH_REMATCH[2]}
		local verdict=${BASH_REMATCH[1]} rest=${BASH_REMATCH[3]}
		unset "listed[$test]"
		if [[ $verdict == "not ok" ]]; then
			result FAIL "$name $test" "" "${rest# }"
			for line in "${report[@]:i+1:8}"; do
				[[ $line == \ * ]] || break
				echo "    | $line"
			done
			bad=1
		elif [[ $rest == *"SKIP test was skipped"* ]]; then # no reason of its own
			result FAIL "$name $test" "" "is disabled"
			bad=1
		elif [[ $rest == *SKIP* ]]; then
			result skip "$name $test" "" "${rest#*SKIP }"
		else
			result pass "$name $test"
		fi
	done
	# What the tests themselves said, which Criterion leaves out of its report.
	((!bad)) || grep -vE '^(TAP version|1\.\.|ok - |not ok - |# |  )' "$out" | sed 's/^/    | /' | tail -n 40
	for test in "${!listed[@]}"; do
		result FAIL "$name $test" "" "did not run"
		bad=1
	done
	if ((status && !bad)); then
		result FAIL "$name" $((SECONDS - started)) "exit status $status"
		tail -n 20 "$out"
	fi
}

scenario() {
	local file=${1% confined} name limit out status=0 started=${EPOCHREALTIME/./} took why
	local confine=${CTB_CONFINE:-} verdict=FAIL
	[[ $1 == "$file" ]] || confine=1
	[[ ${again:-0} == 0 ]] || verdict=again
	name="$group/$(basename "$file" .sh)${confine:+ confined}"
	limit=$(sed -n 's/^# timeout: \([0-9]*\)$/\1/p' "$file")
	limit=$((${limit:-60} * slow))
	out=$log/${group}_${file##*/}${confine:+.confined}.log
	# A scenario may have taken it away; one that runs beside this may be as far.
	[[ $group == e2e || -d /sys/module/nf_untrack_bpf ]] || insmod "$build/kmod/nf_untrack_bpf.ko" 2>/dev/null
	CTB_CONFINE=$confine timeout -k 5 "$limit" "$file" >"$out" 2>&1 </dev/null || status=$?
	took=$(((${EPOCHREALTIME/./} - started) / 100000))
	took=$((took / 10)).$((took % 10))
	if ((status == 0)) && [[ $(tail -n 1 "$out") == PASS ]]; then
		result pass "$name" "$took"
		while IFS= read -r why; do
			result skip "$name" "" "a part of it: $why"
		done < <(sed -n 's/^left out: //p' "$out")
		return
	elif ((status == 77)); then
		result skip "$name" "$took" "$(sed -n 's/^skip: //p' "$out" | tail -n 1)"
		return
	fi
	why=$(sed -n 's/^FAILED: //p' "$out" | head -n 1)
	((status != 0)) || why="ended before its end${why:+, $why}"
	((status != 124 && status != 137)) || why="not done after $limit s${why:+, $why}"
	result $verdict "$name" "$took" "${why:-exit status $status}"
	sed 's/^/    | /' "$out" | tail -n 60
	echo "$1" >>"$failed_once"
}

for kind in unit prog; do
	for bin in "$build/tests/$kind"/test_*; do
		[[ $group == e2e && -x $bin && ! -d $bin ]] && wanted "$kind/${bin##*/}" || continue
		criterion "$bin" "$kind"
	done
done

if [[ $group == e2e ]] && wanted docs; then
	if scripts/check-docs.sh "$build/ctbypass" >"$log/docs.log" 2>&1; then
		result pass docs
	else
		result FAIL docs "" "$(tail -n 1 "$log/docs.log")"
	fi
fi

confined_too() {
	[[ -z ${CTB_CONFINE:-} ]] || return 1
	grep -q '^# run: confined$' "$1" && return
	((long)) && grep -qE '^[^#]*\bdaemon_(start|conf)\b' "$1"
}

beside=() alone=()
for f in tests/e2e/[0-9][0-9]_*.sh; do
	if grep -q '^# run: long$' "$f" && ! ((long)); then
		continue
	elif [[ $group == direct ]] && grep -q '^# run: own hand-over$' "$f"; then
		continue
	fi
	runs=("$f")
	! confined_too "$f" || runs+=("$f confined")
	for f in "${runs[@]}"; do
		if ! wanted "e2e/${f##*/}"; then
			continue
		elif grep -q '^# run: alone$' "${f% confined}"; then
			alone+=("$f")
		else
			beside+=("$f")
		fi
	done
done
if [[ -n ${no_module:-} ]]; then
	result skip direct "" "$no_module"
	beside=() alone=()
fi
again=${CTB_AGAIN:-0}
running=0
for f in "${beside[@]}"; do
	while ((running >= jobs)); do
		wait -n
		running=$((running - 1))
	done
	scenario "$f" &
	running=$((running + 1))
done
wait
for f in "${alone[@]}"; do
	scenario "$f"
done
if [[ $again != 0 ]]; then
	again=0
	mapfile -t alone <"$failed_once"
	for f in "${alone[@]}"; do
		scenario "$f"
	done
fi

if ((long && !${#patterns[@]})); then
	for bin in "$build"/fuzz/fuzz_*; do
		[[ -x $bin ]] || continue
		started=$SECONDS
		found=$(mktemp -d) # what it finds goes here; the seeds are only read
		if "$bin" -max_total_time=120 -verbosity=0 "$found" \
			"tests/fuzz/corpus/${bin##*/fuzz_}" >"$log/${bin##*/}.log" 2>&1; then
			result pass "fuzz/${bin##*/}" $((SECONDS - started))
		else
			result FAIL "fuzz/${bin##*/}" $((SECONDS - started)) "see $log/${bin##*/}.log"
		fi
		rm -rf "$found"
	done
fi

passed=$(grep -c '^pass ' "$results")
failed=$(grep -c '^FAIL ' "$results")
skipped=$(grep -c '^skip ' "$results")
((passed + failed + skipped)) || { echo "no test ran"; failed=1; }
echo "$passed passed, $failed failed, $skipped skipped"
((failed == 0))
