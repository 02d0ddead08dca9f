#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 180
# Bad cables: netem loses, delays, reorders, doubles and corrupts what both hosts send through a
# router, under notrack and under forward rules. Every frame that gets to the router is counted once
# and where it should be, as captures behind netem have it; fragments in any order are put together
# where they have to be; TCP arrives byte for byte; conntrack has no entry, and calls nothing INVALID
# but what was corrupted.
set -euo pipefail
. "$(dirname "$0")/../../scripts/lab.sh"
lab_enter "$@"
. "$LAB_LIB/gains.sh"

lab_line
on client tc qdisc add dev c0 root netem delay 1ms 2>/dev/null || skip "this kernel has no netem"
on server tc qdisc add dev s0 root netem delay 1ms
lab_addr server s0 10.2.0.3/24 fd02::3/64
neighbour() { # HOST IF ADDRESS... HOST2 IF2: so that nobody is looked for over such a cable
	local a
	for a in "${@:3:$#-4}"; do
		on "$1" ip neigh replace "$a" lladdr "$(mac_of "${@: -2}")" dev "$2"
	done
}
neighbour client c0 10.1.0.1 fd01::1 router r0
neighbour server s0 10.2.0.1 fd02::1 router r1
neighbour router r0 10.1.0.2 fd01::2 client c0
neighbour router r1 10.2.0.2 10.2.0.3 fd02::2 fd02::3 server s0
bad() { # NETEM...
	local end
	for end in "client c0" "server s0"; do
		on ${end% *} tc qdisc del dev ${end#* } root # a change would keep some of it
		on ${end% *} tc qdisc add dev ${end#* } root netem limit 20000 "$@"
	done
}

# So many fragments of other datagrams may come between two of one: the kernel's own limit is 64. And
# no errors, half a minute later, about those that never became whole.
for host in client router server; do
	on $host sysctl -qw net.ipv4.ipfrag_max_dist=0 net.ipv4.ipfrag_time=1200 net.ipv6.ip6frag_time=1200
done

watch_states router forward
long_entries
on router sysctl -qw net.netfilter.nf_conntrack_frag6_timeout=1200
serve echo server echo 8080 8081
serve bulk server bulk_tcp serve 5001
traffic() {
	tool client flows -l -w 0.5 -u 4 -f 2 -k 50 -t 0 8080 10.2.0.2 fd02::2
	tool client bulk_tcp send 10.2.0.2 5001 "$BYTES"
	tool client bulk_tcp send fd02::2 5001 "$BYTES"
}
field() { sed -En "s/.*$1 ([0-9]+).*/\1/p" <<<"$OUT" | head -n 1; }

SENT="not ether src $(mac_of router r0) and not ether src $(mac_of router r1)"
CAME="(ether src $(mac_of router r0) or ether src $(mac_of router r1))"
both() { echo $(($(captured client "$@") + $(captured server "$@"))); }
# over WHAT BYTES NETEM...: the traffic, TCP with so many bytes, over such cables
over() {
	local what=$1
	BYTES=$2
	bad "${@:3}"
	ct_flush router
	capture_start client client c0
	capture_start server server s0
	around traffic
	sleep 0.5 # what netem still has
	counters after
	gains
	capture_stop client
	capture_stop server
	bad delay 0
	say "$what: ${OUT//$'\n'/; }"
	ge "$what: packets" "${GAIN[receive]}" 1500
	# Captures are a little longer, and IPv6 hosts talk at any time.
	le "$what: frames counted" "${GAIN[judged]}" "$(both "$SENT")"
	ge "$what: frames counted" $((GAIN[judged] + 8)) "$(both "$SENT")"
	eq "$what: entries of UDP" "$(ct_count router -p udp)" 0
	eq "$what: entries of TCP" "$(ct_count router -p tcp)" 0
}
# whole WHAT: whatever else happened, no frame came broken
whole() {
	local first later
	first=$(both "$SENT and $FIRST") later=$(both "$SENT and $LATER")
	ge "$1: later fragments" "$later" 100
	eq "$1: entries" "$(ct_entries router)" 0
	eq "$1: FORWARD tracked" "${GAIN[tracked]}" 0
	eq "$1: FORWARD invalid" "${GAIN[invalid]}" 0
	if [[ $ACTION == notrack ]]; then
		eq "$1: judged" "${GAIN[receive]}" "$first"
		eq "$1: later fragments" "${GAIN[reason later-fragment]}" "$later"
		eq "$1: delivered" "$(both "$CAME and $FIRST")" "${GAIN[untracked]}"
	else
		eq "$1: judged" "${GAIN[receive]}" $((first + later))
		eq "$1: later fragments that were not judged" "${GAIN[reason later-fragment]}" 0
		eq "$1: forwarded" $((GAIN[xdp] + GAIN[tc])) "${GAIN[receive]}"
		eq "$1: FORWARD untracked" "${GAIN[untracked]}" 0
		# Of UDP, since GRO makes less of TCP, and XDP wants it on at the hosts.
		eq "$1: delivered" "$(both "$CAME and (ip proto 17 or ip6[6] = 17 or ip6[6] = 44)")" \
			"$(both "$SENT and (ip proto 17 or ip6[6] = 17 or ip6[6] = 44)")"
	fi
}
all() { # ACTION
	ACTION=$1
	over "$1, loss" 200000 delay 3ms loss 5%
	whole "$1, loss"
	le "$1, loss: came back" "$(field udp)" 390
	ge "$1, loss: came back" "$(field udp)" 300

	over "$1, disorder" 500000 delay 10ms 8ms
	whole "$1, disorder"
	eq "$1, disorder: came back" "$(field udp),$(field big)" 400,200
	ge "$1, disorder: late" "$(field late)" 20

	over "$1, duplicates" 500000 delay 2ms duplicate 10%
	whole "$1, duplicates"
	eq "$1, duplicates: came back" "$(field udp),$(field big)" 400,200
	ge "$1, duplicates: twice" "$(field twice)" 30

	# A bit of the ports, and there is no rule; conntrack finds the checksum wrong.
	over "$1, corruption" 200000 delay 2ms corrupt 5%
	le "$1, corruption: FORWARD invalid" "${GAIN[invalid]}" \
		$((GAIN[judged] - GAIN[receive] - ${GAIN[reason later-fragment]}))
	le "$1, corruption: came back" "$(field udp)" 399
	ge "$1, corruption: came back" "$(field udp)" 300
}

daemon_conf router <<'EOC'
notrack udp dport 8080
notrack tcp dport 5001
EOC
all notrack
bad delay 5ms 4ms loss 5% duplicate 5%
ct_flush router
around tool client flows -l -w 0.5 -t 0 8081 10.2.0.2 fd02::2
eq "near miss: judged" "${GAIN[receive]}" 0
eq "near miss: FORWARD untracked" "${GAIN[untracked]}" 0
ge "near miss: entries" "$(ct_entries router)" 40 # of 50 flows, some of which lost all

for end in "client c0" "server s0"; do
	on ${end% *} ethtool -K ${end#* } gro on
done
cat >$LAB_CONF <<<'forward saddr { 10.1.0.0/24, fd01::/64 } daddr { 10.2.0.2, fd02::2 }'
ctb reload >/dev/null
all forward
say "forwarded last in XDP ${GAIN[xdp]}, in tc ${GAIN[tc]}"
bad delay 5ms 4ms loss 5% duplicate 5%
ct_flush router
around tool client flows -l -w 0.5 -t 0 8080 10.2.0.3 fd02::3
eq "near miss: judged" "${GAIN[receive]}" 0
eq "near miss: FORWARD untracked" "${GAIN[untracked]}" 0
ge "near miss: entries" "$(ct_entries router)" 40
pass
