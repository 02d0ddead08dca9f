#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# VRFs: addresses in a VRF's table are `local` like others, at ingress and in OUTPUT, as they come and
# go; the devices in a VRF are judged, what this host sends by way of one passes OUTPUT twice and
# counts once; and an address that is local in one VRF and somebody else's in another is local.
# timeout: 120
set -euo pipefail
. "$(dirname "$0")/../../scripts/lab.sh"
lab_enter "$@"
. "$LAB_LIB/gains.sh"

lab_host client server other
lab_router router
on router ip link add red type vrf table 110 2>/dev/null || skip "this kernel has no VRF devices"
on router ip link add blue type vrf table 70000
lab_cable client c0 router r0
lab_cable router r1 server s0
lab_cable other o0 router b0
for dev in red blue; do
	on router ip link set $dev up
done
on router ip link set r0 master red
on router ip link set r1 master red
on router ip link set b0 master blue
lab_addr client c0 10.1.0.2/24 fd01::2/64
lab_addr router r0 10.1.0.1/24 fd01::1/64
lab_addr router r1 10.2.0.1/24 fd02::1/64
lab_addr server s0 10.2.0.2/24 fd02::2/64 10.2.0.7/24 fd02::7/64
# In blue 10.2.0.7 is the router's own; in red it is the server's.
lab_addr router b0 10.2.0.7/24 fd02::7/64
lab_addr other o0 10.2.0.9/24 fd02::9/64
for host in client server; do
	n=$([[ $host == client ]] && echo 1 || echo 2)
	on $host ip route add default via 10.$n.0.1
	on $host ip route add default via fd0$n::1
done
watch_states router forward
watch_states router input 'meta l4proto { tcp, udp }'
# The second time, with which conntrack goes.
watch_states router output 'oifname != { red, blue } meta l4proto { tcp, udp }'
long_entries
serve own router echo -d red 8080
serve blue router echo -d blue 8080
serve echo server echo 8080

# flows HOST ADDRESS...: in SENT and BACK what was on the host's cable.
flows() {
	local host=$1 dev
	shift
	dev=$(on "$host" ip -j link show type veth | jq -r '.[0].ifname')
	ct_flush router
	on router nft reset counters >/dev/null
	capture_start wire "$host" "$dev" "port 8080"
	around tool "$host" flows -u 5 -f 0 -t 1 8080 "$@"
	capture_stop wire
	SENT=$(captured wire "dst port 8080") BACK=$(captured wire "src port 8080")
	ge "packets" "$SENT" 15
}
state() { state_count router "$1" "$2"; }
# Both ends' packets are untracked in these hooks, and each counts once, by the rule.
bypassed() { # WHAT RECEIVED OUTPUT
	eq "$1: entries" "$(ct_list router -p udp; ct_list router -p tcp)" ""
	eq "$1: received" "${GAIN[receive]:-0}" "$2"
	eq "$1: sent" "${GAIN[output]:-0}" "$3"
	for hook in input output forward; do
		eq "$1: invalid in $hook" "$(state $hook invalid)" 0
		eq "$1: new in $hook" "$(state $hook new)" 0
	done
}
tracked() { # WHAT ENTRIES
	eq "$1: entries of UDP" "$(ct_count router -p udp --dport 8080)" "$2"
	eq "$1: judged" "${GAIN[receive]:-0} ${GAIN[output]:-0}" "0 0"
	for hook in input output forward; do
		eq "$1: untracked in $hook" "$(state $hook untracked)" 0
		eq "$1: invalid in $hook" "$(state $hook invalid)" 0
	done
}
rule() {
	printf '%s\n' "$@" >$LAB_CONF
	[[ -S $LAB_SOCK ]] || daemon_start router
	ctb reload >/dev/null
	has "status" "$(ctb status)" "warnings        none"
}
attached() { ctb status -j | jq -r '[.interfaces[] | select(.mode != "none") | .name] | sort | join(" ")'; }

rule 'notrack { tcp, udp } dport 8080 daddr local'
eq "attached" "$(attached)" "b0 r0 r1"
flows client 10.1.0.1 fd01::1
bypassed "own service" "$SENT" "$BACK"
eq "INPUT untracked" "$(state input untracked)" "$SENT"
eq "OUTPUT untracked" "$(state output untracked)" "$BACK"
flows client 10.2.0.2 fd02::2
tracked "transit" 10
flows other 10.2.0.7 fd02::7
bypassed "own service in blue" "$SENT" "$BACK"
# The same addresses, another's, in red: local is local, in both directions.
flows client 10.2.0.7 fd02::7
bypassed "local elsewhere" $((SENT + BACK)) 0
# To itself within a VRF: OUTPUT alone.
ct_flush router
on router nft reset counters >/dev/null
around tool router flows -d red -u 5 -f 0 -t 0 8080 10.1.0.1
bypassed "to itself" 0 20

rule 'notrack saddr !local daddr !local'
flows client 10.1.0.1 fd01::1
tracked "own service, transit rule" 10
flows client 10.2.0.2 fd02::2
bypassed "transit, transit rule" $((SENT + BACK)) 0
eq "FORWARD untracked" "$(state forward untracked)" $((SENT + BACK))
flows client 10.2.0.7 fd02::7
tracked "local elsewhere, transit rule" 10

rule 'interface red b0' 'notrack { tcp, udp } dport 8080 daddr { 10.1.0.1, fd01::1 }'
eq "attached by the VRF's name" "$(attached)" "b0 r0 r1"
flows client 10.1.0.1 fd01::1
bypassed "by address" "$SENT" "$BACK"
rule 'track udp dport 8080' 'notrack tcp dport 8080'
flows client 10.1.0.1
eq "explicit track: received" "${GAIN["receive track udp dport 8080"]}" 10
eq "explicit track: sent" "${GAIN["output track udp dport 8080"]}" 10

# Addresses and VRFs that come and go.
rule 'notrack udp dport 8080 daddr local'
works() { # ADDRESS
	ct_flush router
	tool client flows -u 5 -f 0 -t 0 8080 "$1" >/dev/null && [[ -z $(ct_list router -p udp) ]]
}
lab_addr router r0 10.1.0.50/24 fd01::50/64
for a in 10.1.0.50 fd01::50; do
	poll 10 works $a || die "$a was added in a VRF and is not local"
done
on router ip link add green type vrf table 120
on router ip link set green up
on router ip link set r0 master green # its IPv6 addresses go
background_stop own
serve moved router echo -d green 8080
on router ip addr replace fd01::1/64 dev r0
for a in 10.1.0.1 fd01::1; do
	poll 10 works $a || die "$a went to another VRF and is not local"
done
on router ip link del green
background_stop moved
background_stop blue # one that is bound to no device takes the port everywhere
serve nowhere router echo 8080
on router ip addr replace fd01::1/64 dev r0
for a in 10.1.0.1 fd01::1; do
	poll 10 works $a || die "$a is in no VRF any more and is not local"
done
on router nft reset counters >/dev/null
around tool client flows -u 5 -f 0 -t 0 8080 10.1.0.1
bypassed "without a VRF" 10 10
pass
