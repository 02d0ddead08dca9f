#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 180
# nft's flowtable beside ctbypass: the same traffic through a router by flowtable, by notrack and by
# forward. All three deliver every byte, count TTLs down and let ICMP errors through; they differ in
# entries and in who sees the packets. In one ruleset they do not harm each other: what is bypassed
# never enters the flowtable, what is tracked is offloaded as before.
# kernels: few
set -euo pipefail
. "$(dirname "$0")/../../scripts/lab.sh"
lab_enter "$@"
. "$LAB_LIB/gains.sh"

lab_line
lab_addr server s0 10.2.0.3/24 fd02::3/64
on router nft -f - 2>/dev/null <<'EOT' || skip "this kernel has no flowtables"
table inet fast {
	flowtable f {
		hook ingress priority 0
		devices = { r0, r1 }
	}
}
EOT
# afresh: nothing is offloaded, no entries. Those of a flowtable outlive `conntrack -F`.
afresh() {
	on router nft -f - <<'EOT'
delete table inet fast
table inet fast {
	flowtable f {
		hook ingress priority 0
		devices = { r0, r1 }
	}
	chain forward {
		type filter hook forward priority 0; policy accept;
		ct state invalid drop
		meta l4proto { tcp, udp } th dport { 5001, 8080, 8081 } flow add @f
		meta l4proto { tcp, udp } th sport { 5001, 8080, 8081 } flow add @f
	}
}
EOT
	poll 10 no_entries || die "there are entries left: $(ct_list router)"
}
no_entries() {
	ct_flush router
	(($(ct_entries router) == 0))
}
watch_states router forward "meta l4proto { tcp, udp }"
long_entries
on router sysctl -qw net.netfilter.nf_flowtable_{tcp,udp}_timeout=600
serve echo server echo 8080 8081
serve bulk server bulk_tcp serve 5001
daemon_conf router <<<'failsafe { }'

offloaded() { ct_list router "$@" | grep -c OFFLOAD || true; }
held() { # a flow of each family, of UDP and of TCP, many packets each
	tool client flows -u 10 -k 20 -f 0 -t 5 8080 10.2.0.2 fd02::2
	tool client bulk_tcp send 10.2.0.2 5001 500000
	tool client bulk_tcp send fd02::2 5001 500000
}
# delivers WHAT: all of it, one hop further, and errors; sets PACKETS, those that came to the server
delivers() {
	local errors dst
	afresh
	capture_start server server s0 -Q in tcp or udp
	around held
	capture_stop server
	PACKETS=$(captured server)
	say "$1: ${OUT//$'\n'/; }; $PACKETS packets to the server, in FORWARD $((GAIN[tracked] + GAIN[untracked]))"
	ge "$1: packets" "$PACKETS" 1000
	eq "$1: one hop" "$(captured server 'ip[8] = 63 or ip6[7] = 63')" "$PACKETS"
	eq "$1: invalid" "${GAIN[invalid]}" 0
	# A TTL that ends here, and a port that nobody listens on.
	for dst in "10.2.0.2 10.1.0.1" "fd02::2 fd01::1"; do
		errors=$(tool client ttl_probe "${dst% *}" 8090 2 | tr '\n' ' ')
		has "$1: errors" "$errors" "${dst#* } type"
		has "$1: errors" "$errors" "${dst% *} type"
	done
}

delivers "flowtable"
eq "flowtable: entries of UDP" "$(ct_count router -p udp --orig-port-dst 8080)" 20
eq "flowtable: entries of TCP" "$(ct_count router -p tcp --orig-port-dst 8080)" 10
ge "flowtable: offloaded" "$(offloaded -p udp --orig-port-dst 8080)" 20
le "flowtable: seen in FORWARD" "${GAIN[tracked]}" 400
eq "flowtable: FORWARD untracked" "${GAIN[untracked]}" 0
# Each packet passes tc before the flowtable, and is judged there.
ge "flowtable: judged" "${GAIN[reason no-match]}" 2000

cat >$LAB_CONF <<'EOC'
failsafe { }
notrack udp dport { 8080, 8090-8099 }
notrack tcp dport { 5001, 8080 }
EOC
ctb reload >/dev/null
delivers "notrack"
eq "notrack: entries" "$(ct_entries router)" 0
eq "notrack: FORWARD untracked" "${GAIN[untracked]}" "${GAIN[receive]}"
eq "notrack: FORWARD tracked" "${GAIN[tracked]}" 0

# The near miss, at the same time: tracked, and offloaded as ever.
afresh
around tool client flows -u 10 -k 20 -f 0 -t 5 8081 10.2.0.2 fd02::2
eq "beside notrack: judged" "${GAIN[receive]}" 0
eq "beside notrack: FORWARD untracked" "${GAIN[untracked]}" 0
eq "beside notrack: entries" "$(ct_entries router)" 30
ge "beside notrack: offloaded" "$(offloaded -p udp)" 20
le "beside notrack: seen in FORWARD" "${GAIN[tracked]}" 250

cat >$LAB_CONF <<'EOC'
failsafe { }
forward { tcp, udp } daddr { 10.2.0.2, fd02::2 }
EOC
ctb reload >/dev/null
delivers "forward"
eq "forward: entries" "$(ct_entries router)" 0
eq "forward: not seen in FORWARD" "${GAIN[untracked]}$((GAIN[tracked]))" 00
eq "forward: forwarded" $((GAIN[xdp] + GAIN[tc])) "${GAIN[receive]}"
afresh
around tool client flows -u 10 -k 20 -f 0 -t 5 8081 10.2.0.3 fd02::3
eq "beside forward: judged" "${GAIN[receive]}" 0
eq "beside forward: entries" "$(ct_entries router)" 30
ge "beside forward: offloaded" "$(offloaded -p udp)" 20
le "beside forward: seen in FORWARD" "${GAIN[tracked]}" 250

# ---- a rule for flows that the flowtable has -----------------------------------------------------

# The kernel lets nobody delete their entries. They stay where they are until they have been idle, and
# status says so; entries of other flows are deleted all the same.
cat >$LAB_CONF <<<'failsafe { }'
ctb reload >/dev/null
afresh
# Of a second the kernel would have none left: it renews what was renewed over a second ago.
on router sysctl -qw net.netfilter.nf_flowtable_udp_timeout=$((2 + ${CTB_SLOW:-1}))
background stream client $PYTHON "$LAB_LIB/flows.py" -u 4 -k 100000 -f 0 -t 0 8081 10.2.0.2
tool client flows -l -u 300 -k 1 -f 0 -t 0 -w 0.1 8081 10.2.0.99 >/dev/null # which is not there
others() { ct_count router -p udp --orig-dst 10.2.0.99; }
ge "entries before" "$(others)" 200
poll 10 eval '(($(offloaded -p udp --orig-dst 10.2.0.2) == 4))' || die "not offloaded: $(ct_list router)"
ctb add notrack udp dport 8081 >/dev/null
has "status" "$(ctb status)" "4 bypassed flows are in an nft flowtable"
eq "entries that nobody holds" "$(others)" 0
eq "offloaded under the rule" "$(offloaded -p udp --orig-dst 10.2.0.2)" 4
kill "$(<$LAB/stream.pid)"
background_wait stream || die "packets were lost: $(cat $LAB/stream.log)"
hasnt "the daemon" "$(cat $LAB/daemon.log)" "cannot go through"
poll 20 eval '(($(offloaded) == 0))' || die "still offloaded: $(ct_list router)"
afresh
around tool client flows -u 10 -k 20 -f 0 -t 0 8081 10.2.0.2 fd02::2
eq "afterwards: entries" "$(ct_entries router)" 0
eq "afterwards: FORWARD untracked" "${GAIN[untracked]}" "${GAIN[receive]}"
ctb reload >/dev/null
hasnt "status" "$(ctb status)" "flowtable"
pass
