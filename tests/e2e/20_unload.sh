#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# `unload` leaves nothing: programs, links, maps, pins, table, clsact qdiscs that were ours. What is
# somebody else's stays.
# kernels: few
# timeout: 180
set -euo pipefail
. "$(dirname "$0")/../../scripts/lab.sh"
lab_enter "$@"

# The kernel's numbers of what hangs on our pins and hooks.
ids() {
	local f
	find $LAB_PIN -type f 2>/dev/null | while read -r f; do
		bpftool -j map show pinned "$f" 2>/dev/null | jq -r '"map " + (.id | tostring)' 2>/dev/null ||
			bpftool -j link show pinned "$f" 2>/dev/null |
			jq -r '"link " + (.id | tostring), "prog " + (.prog_id | tostring)'
	done
	for f in r0 r1; do
		on router tc -j filter show dev $f ingress 2>/dev/null |
			jq -r '.[] | .options.prog.id? // empty | "prog " + tostring'
	done
}
gone() {
	local kind id
	while read -r kind id; do
		! bpftool "$kind" show id "$id" >/dev/null 2>&1 || return 1
	done <<<"$objects"
}
ruleset() { on router nft list ruleset; }
qdiscs() { on router tc qdisc show; }

lab_line
on router nft -f - <<'EOT'
table inet mine {
	chain forward {
		type filter hook forward priority filter; policy accept;
		ct state untracked counter comment "somebody else's"
	}
}
EOT
serve echo server udp_echo 8080
rules_before=$(ruleset | sed 's/packets [0-9]* bytes [0-9]*//')
qdiscs_before=$(qdiscs)

for mode in auto clsact; do
	daemon_conf router -A $mode <<<'notrack udp dport 8080'
	tool client udp_flows -n 10 10.2.0.2 8080
	ge "untracked" "$(ruleset | sed -n 's/.*untracked counter packets \([0-9]*\).*/\1/p')" 20
	objects=$(ids | sort -u)
	ge "objects in the kernel with $mode" "$(wc -l <<<"$objects")" 5
	has "maps with $mode" "$objects" map
	has "programs with $mode" "$objects" prog
	[[ $mode == clsact ]] || ! have_tcx || has "links with $mode" "$objects" link
	fails on router "$CTBYPASS" unload -P $LAB_PIN
	has "unload while the daemon runs" "$OUT" "daemon"
	daemon_stop
	! gone || die "$mode: stopping the daemon took the data plane along"
	on router "$CTBYPASS" unload -P $LAB_PIN
	poll 5 gone || die "$mode: left in the kernel: $objects"
	[[ ! -e $LAB_PIN ]] || die "$mode: left in bpffs: $(find $LAB_PIN)"
	eq "ruleset after $mode" "$(ruleset | sed 's/packets [0-9]* bytes [0-9]*//')" "$rules_before"
	eq "qdiscs after $mode" "$(qdiscs)" "$qdiscs_before"
	ct_flush router
	tool client udp_flows -n 10 10.2.0.2 8080
	eq "entries after $mode" "$(ct_entries router)" 10
done

# Again when there is nothing: fine. And again after kill -9.
on router "$CTBYPASS" unload -P $LAB_PIN
daemon_conf router <<<'notrack udp dport 8080'
objects=$(ids | sort -u)
daemon_kill
on router "$CTBYPASS" unload -P $LAB_PIN
poll 5 gone || die "left in the kernel after kill -9: $objects"
eq "ruleset after kill -9" "$(ruleset | sed 's/packets [0-9]* bytes [0-9]*//')" "$rules_before"

# A clsact qdisc that was there, or that somebody else has come to use, stays.
on router tc qdisc add dev r0 clsact
daemon_conf router -A clsact <<<'notrack udp dport 8080'
on router tc filter add dev r1 ingress pref 7 protocol ip u32 match u32 0 0 flowid 1:1
daemon_stop
on router "$CTBYPASS" unload -P $LAB_PIN
has "a qdisc that was there" "$(on router tc qdisc show dev r0)" clsact
has "a qdisc in use" "$(on router tc qdisc show dev r1)" clsact
has "a filter of somebody else's" "$(on router tc filter show dev r1 ingress)" u32
hasnt "our filter" "$(on router tc filter show dev r1 ingress)" bpf
eq "our filter" "$(on router tc filter show dev r0 ingress)" ""
pass
