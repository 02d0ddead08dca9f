#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Other programs on the hook keep running, before and after ours, on tcx and on clsact; foreign mark
# bits, nft tables, iptables rules and tc filters are left as they are.
set -euo pipefail
. "$(dirname "$0")/../../scripts/lab.sh"
lab_enter "$@"
have_tcx || skip "this kernel has no tcx"

object=$LAB_ROOT/build/tests/e2e/foreign.bpf.o
[[ -s $object ]] || skip "no $object: run make tests"
# foreign NAME: load one more instance, with a counter of its own. c, the one right before ours,
# sets a mark bit.
foreign() {
	bpftool prog load "$object" $LAB_BPF/"$1" type classifier
	bpftool map pin id "$(bpftool -j prog show pinned $LAB_BPF/"$1" | jq '.map_ids[0]')" $LAB_BPF/"$1"_seen
	[[ $1 != c_* ]] || bpftool map update pinned $LAB_BPF/"$1"_seen key 1 0 0 0 value 0 0 1 0 0 0 0 0
}
seen() { bpftool -j map dump pinned $LAB_BPF/"$1"_seen | jq '.[0].formatted.value // .[0].value'; }
tcx() { # NAME HEAD|TAIL
	foreign "$1"
	serve "$1" router tcx $LAB_BPF/"$1" r0 "$2"
}
clsact() { # NAME PREF
	foreign "$1"
	on router tc filter add dev r0 ingress pref "$2" bpf direct-action object-pinned $LAB_BPF/"$1"
}

lab_line
watch_states router forward "meta l4proto udp"
on router nft -f - <<'EOT'
table inet mine {
	chain early { # between raw and conntrack: what our verdict leaves behind
		type filter hook prerouting priority -250;
		meta l4proto udp meta mark & 0x40 != 0 counter comment "our bit"
		meta l4proto udp meta mark & 0x10000 != 0 counter comment "their bit"
		meta l4proto udp meta mark set meta mark | 0x2000
	}
	chain forward {
		type filter hook forward priority filter; policy accept;
		meta l4proto udp meta mark & 0x12000 == 0x12000 counter comment "both bits"
	}
}
EOT
on router iptables -t mangle -A FORWARD -p udp -j MARK --set-xmark 0x400000/0x400000
marks() { # COMMENT
	on router nft list table inet mine | sed -n "s/.*packets \([0-9]*\) .*\"$1\".*/\1/p"
}
serve echo server udp_echo 8080 8081
foreign_rules() {
	on router nft list ruleset |
		sed -e '/^table inet ctbypass {/,/^}/d' -e 's/packets [0-9]* bytes [0-9]*//'
}

for mode in tcx clsact; do
	say "$mode"
	# There before ours.
	tcx a_$mode head
	on router tc qdisc add dev r0 clsact
	clsact b_$mode 1
	rules=$(foreign_rules)
	daemon_conf router -A $mode <<<'notrack udp dport 8080'
	eq "attach mode" "$(ctb status -j | jq -r '.interfaces[] | select(.name == "r0") | .mode')" $mode
	# And after.
	tcx c_$mode head
	tcx d_$mode tail
	clsact e_$mode 60000
	for p in a b c d e; do
		declare "n_$p=$(seen ${p}_$mode)"
	done
	untracked=$(state_count router forward untracked)
	their=$(marks "their bit")
	both=$(marks "both bits")

	capture_start wire router r0 -Q in udp
	tool client udp_flows -n 100 10.2.0.2 8080
	tool client udp_flows -n 100 fd02::2 8080
	tool client udp_flows -n 50 10.2.0.2 8081
	capture_stop wire
	eq "packets" "$(captured wire)" 250
	for p in a b c d e; do
		before=n_$p
		ge "program $p beside $mode" $(($(seen ${p}_$mode) - ${!before})) 250
	done
	eq "untracked" $(($(state_count router forward untracked) - untracked)) 400
	eq "our bit after raw" "$(marks "our bit")" 0
	eq "their bit after raw" $(($(marks "their bit") - their)) 250
	eq "marks in FORWARD" $(($(marks "both bits") - both)) 250

	daemon_stop
	eq "other rules" "$(foreign_rules)" "$rules"
	on router "$CTBYPASS" unload -P $LAB_PIN
	eq "other rules after unload" "$(foreign_rules)" "$rules"
	before=$(seen a_$mode)
	tool client udp_flows -n 10 10.2.0.2 8080
	for p in a c d; do
		background_stop ${p}_$mode
	done
	ge "programs after unload" $(($(seen a_$mode) - before)) 10
	on router tc qdisc del dev r0 clsact
done
pass
