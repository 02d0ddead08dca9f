#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# `unload` that fails, or is killed, at any of its system calls: no flow is left that one side tracks
# and the other does not, the exit status says which of the two it is, and a second `unload` takes the
# rest away. With CTB_LONG=1 at each of them.
# timeout: 900
set -euo pipefail
. "$(dirname "$0")/../../scripts/lab.sh"
lab_enter "$@"
command -v strace >/dev/null || skip "no strace"
export ASAN_OPTIONS=detect_leaks=0 # which is done by ptrace, too

lab_line
serve router router udp_echo 8080
serve server server udp_echo 8080 8081
watch_states router forward
cat >$LAB_CONF <<'EOT'
notrack udp dport 8080
forward udp dport 8081
EOT
at=("10.1.0.1 8080" "10.2.0.2 8080" "10.2.0.2 8081") # of the router itself; routed; forwarded

flows() { # what conntrack of the router makes of one of each: none, whole or ONE-SIDED
	local dst entries
	ct_flush router
	for dst in "${at[@]}"; do
		# shellcheck disable=SC2086 # two words
		tool client udp_flows -n 1 $dst >/dev/null || { echo "no answer from $dst" && return; }
	done
	entries=$(ct_list router)
	if [[ $entries == *UNREPLIED* ]]; then
		echo "ONE-SIDED: $entries"
	else
		case $(grep -c . <<<"$entries") in
		0) echo none ;;
		"${#at[@]}") echo whole ;;
		*) echo "in part: $entries" ;;
		esac
	fi
}
unload() { nsenter --net=/run/netns/router "$@" "$CTBYPASS" unload -P $LAB_PIN; }
loaded=
load() {
	[[ -z $loaded ]] || return 0
	daemon_start router
	daemon_stop
	loaded=1
}

load
eq "flows at first" "$(flows)" none
unload strace -qq -o calls
loaded=
eq "flows without us" "$(flows)" whole

# NAME N: the Nth call of NAME in a run, for all of them from the program's own first on.
awk -F'(' '/^[a-z_0-9]+\(/ { n[$1]++; if (own) print $1, n[$1]; if ($1 == "geteuid") own = 1 }' calls |
	grep -vE '^(exit_group|munmap|close|brk) ' >points
total=$(wc -l <points)
ge "calls to fail at" "$total" 50
step=$((${CTB_LONG:-0} ? 1 : total / 9))
tries=0 as_it_was=0 silenced=0
while read -r name nth; do
	tries=$((tries + 1))
	how=error=EIO
	((tries % 2)) || how=signal=KILL
	load
	status=0
	unload strace -qq -o /dev/null -e "trace=$name" -e "inject=$name:$how:when=$nth" >out 2>&1 || status=$?
	now=$(flows)
	what="unload, $how at $name $nth: status $status, $(<out)"
	case $status in
	0) eq "$what" "$now" whole ;;
	1)
		eq "$what" "$now" none
		as_it_was=$((as_it_was + 1))
		;;
	3)
		eq "$what" "$now" whole
		has "$what" "$(<out)" "run it again"
		silenced=$((silenced + 1))
		;;
	137) [[ $now == none || $now == whole ]] || die "$what: $now" ;;
	*) die "$what" ;;
	esac
	[[ $now != none || $status == 137 ]] || continue # nothing has changed: the next one
	unload || die "$what: a second unload fails"
	loaded=
	[[ ! -e $LAB_PIN ]] || die "$what: left in bpffs: $(find $LAB_PIN)"
	hasnt "$what: tables" "$(on router nft list tables)" ctbypass
	for dev in r0 r1; do
		hasnt "$what: programs on $dev" "$(on router bpftool net show dev $dev)" ctb_
	done
	eq "$what: flows after a second unload" "$(flows)" whole
done < <(awk -v step=$step 'NR % step == 1 || step == 1' points)
say "$tries of $total calls failed: $as_it_was left everything as it was, $silenced tracked, with something left"
pass
