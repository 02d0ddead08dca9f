#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 180
# VLAN devices under notrack rules, with the default attachment: a tagged frame is left alone where
# it arrives (vlan-device) and judged once, by the VLAN device on top, be the tag in the frame or
# beside it, be there one or two; rules with iif know VLAN devices; such that come and go.
# kernels: few
set -euo pipefail
. "$(dirname "$0")/../../scripts/lab.sh"
lab_enter "$@"
. "$LAB_LIB/gains.sh"

lab_host client server
lab_router router
on router ip link add dummy0 type dummy 2>/dev/null || skip "this kernel has no dummy devices"
on router ip link add link dummy0 name probe type vlan id 1 2>/dev/null ||
	skip "this kernel has no VLAN devices"
on router ip link del dummy0
lab_cable client c0 router r0
lab_cable router r1 server s0

vlan_add() { # HOST PARENT VID [OPTION...]
	local host=$1 parent=$2 vid=$3
	shift 3
	on "$host" ip link add link "$parent" name "$parent.$vid" type vlan id "$vid" "$@"
	on "$host" ip link set "$parent.$vid" up
}
# net NN CLIENT_IF ROUTER_IF: a network between the two, over which the client reaches
# 10.90.NN.1 and fd90:NN::1 of the server
net() {
	on client ip addr replace 10."$1".0.2/24 dev "$2"
	on client ip addr replace fd"$1"::2/64 dev "$2"
	lab_addr router "$3" 10."$1".0.1/24 fd"$1"::1/64
	on client ip route replace 10.90."$1".0/24 via 10."$1".0.1
	on client ip route replace fd90:"$1"::/64 via fd"$1"::1
}
# shellcheck disable=SC2086 # host and device
for end in "client c0" "router r0"; do
	for vid in 10 20; do
		vlan_add $end $vid
	done
	vlan_add $end 100 protocol 802.1ad
	vlan_add $end.100 5
	on ${end% *} ip link set ${end#* }.100.5 mtu 1496 # two tags, and a veth has room for one
done
vlan_add router r1 40
vlan_add server s0 40
net 11 c0 r0
net 10 c0.10 r0.10
net 20 c0.20 r0.20
net 15 c0.100.5 r0.100.5
lab_addr router r1.40 10.40.0.1/24 fd40::1/64
lab_addr server s0.40 10.40.0.2/24 fd40::2/64
for n in 10 11 15 20 99; do
	lab_addr server lo 10.90.$n.1/32 fd90:$n::1/128
done
on router ip route add 10.90.0.0/16 via 10.40.0.2
on router ip route add fd90::/16 via fd40::2
on server ip route add default via 10.40.0.1
on server ip route add default via fd40::1

watch_states router forward
long_entries
serve there server echo 8080 8081
serve here router echo 8080 8081
daemon_conf router <<'EOC'
notrack udp dport 8080
notrack tcp dport 8080
EOC
for dev in r0 r0.10 r0.20 r0.100 r0.100.5 r1 r1.40; do
	ne "mode of $dev" "$(ctb status -j | jq -r --arg d $dev '.interfaces[] | select(.name == $d) | .mode')" none
done

both_ends() { # NN PORT: to the server through that network, and to the router
	tool client flows "$2" 10.90."$1".1 fd90:"$1"::1 10."$1".0.1 fd"$1"::1
}
# What VLAN devices got has been left alone by the device below once.
left_to_vlan_devices() { # WHAT
	local dev rx=0
	for dev in r0.10 r0.20 r0.100 r0.100.5 r0.99 r1.40; do
		rx=$((rx + ${GAIN[rx $dev]:-0}))
	done
	ge "$1: left to VLAN devices" "$rx" 100
	# Neighbours ask for each other at any time, also between two readings.
	rx=$((${GAIN[reason vlan-device]} - rx))
	le "$1: left to VLAN devices, too many" ${rx#-} 8
}

# bypassed WHAT NN DEVICE: everything through that network, judged once where DEVICE got it. TAGGED:
# what the client sends still has a tag there
TAGGED=
bypassed() {
	local what=$1 n=$2 near far own from_client to_own from_server
	ct_flush router
	capture_start near router "$3"
	capture_start far router r1.40 -Q in ip or ip6
	around both_ends "$n" 8080
	say "$what: $OUT"
	capture_stop near
	capture_stop far
	from_client=$(captured near "$TAGGED$FIRST and (src 10.$n.0.2 or src fd$n::2)")
	to_own=$(captured near "$TAGGED$FIRST and (dst 10.$n.0.1 or dst fd$n::1)")
	own=$(captured near "$FIRST and (src 10.$n.0.1 or src fd$n::1)")
	from_server=$(captured far "$FIRST and (src net 10.90.$n.0/24 or src net fd90:$n::/64)")
	ge "$what: packets" "$from_client" 150
	eq "$what: judged" "${GAIN[receive]}" $((from_client + from_server))
	eq "$what: judged in OUTPUT" "${GAIN[output]}" "$own"
	near=$(captured near "$TAGGED$LATER and (src 10.$n.0.2 or src fd$n::2)")
	far=$(captured far "$LATER and (src net 10.90.$n.0/24 or src net fd90:$n::/64)")
	eq "$what: later fragments" "${GAIN[reason later-fragment]}" $((near + far))
	left_to_vlan_devices "$what"
	eq "$what: entries" "$(ct_entries router)" 0
	eq "$what: FORWARD untracked" "${GAIN[untracked]}" $((from_client - to_own + from_server))
	eq "$what: FORWARD tracked" "${GAIN[tracked]}" 0
	eq "$what: FORWARD invalid" "${GAIN[invalid]}" 0
}

# tracked WHAT NN: the near miss, port 8081
tracked() {
	ct_flush router
	around both_ends "$2" 8081
	eq "$1, near miss: entries" "$(ct_entries router)" 120 # 30 flows to each address
	eq "$1, near miss: judged" "${GAIN[receive]}" 0
	eq "$1, near miss: judged in OUTPUT" "${GAIN[output]}" 0
	eq "$1, near miss: FORWARD untracked" "${GAIN[untracked]}" 0
	eq "$1, near miss: FORWARD invalid" "${GAIN[invalid]}" 0
	left_to_vlan_devices "$1, near miss"
}

bypassed "VLAN 10" 10 r0.10
tracked "VLAN 10" 10
bypassed "QinQ" 15 r0.100.5
tracked "QinQ" 15
bypassed "untagged" 11 r0

# ---- the tag in the frame ----------------------------------------------------------------------

on client ethtool -K c0 txvlan off tx-vlan-stag-hw-insert off
on server ethtool -K s0 txvlan off tx-vlan-stag-hw-insert off
bypassed "VLAN 10, tags in the frames" 10 r0.10
on router ethtool -K r0 rxvlan off rx-vlan-stag-hw-parse off txvlan off tx-vlan-stag-hw-insert off
on router ethtool -K r1 rxvlan off rx-vlan-stag-hw-parse off txvlan off tx-vlan-stag-hw-insert off
bypassed "QinQ, tags in the frames" 15 r0.100.5

# ---- priority tags -----------------------------------------------------------------------------

# In VLAN 10 a priority beside the number; in the other network nothing but a priority: the frames
# are r0's own then, as if they had no tag.
on client ip link set c0.10 type vlan egress 0:5
on client ip link add link c0 name c0.0 type vlan id 0 egress 0:3
on client ip link set c0.0 up
on client ip addr flush dev c0
lab_addr client c0.0 10.11.0.2/24 fd11::2/64
# What comes back has no tag and is c0's: neighbours would not find each other.
for prefix in 10.11.0. fd11::; do
	on client ip neigh replace ${prefix}1 lladdr "$(mac_of router r0)" dev c0.0
	on router ip neigh replace ${prefix}2 lladdr "$(mac_of client c0)" dev r0
done
on client ip route replace 10.90.11.0/24 via 10.11.0.1
on client ip route replace fd90:11::/64 via fd11::1
capture_start tags client c0 -Q out
TAGGED="vlan and " bypassed "priority tags" 11 r0
bypassed "VLAN 10 with a priority" 10 r0.10
capture_stop tags
ge "priority tags on the cable" "$(captured tags "ether[12:2] = 0x8100 and ether[14:2] = 0x6000")" 150
ge "VLAN 10 with priorities" "$(captured tags "ether[12:2] = 0x8100 and ether[14:2] = 0xa00a")" 150
tracked "priority tags" 11

# ---- rules that name VLAN devices --------------------------------------------------------------

server_only() { tool client flows -f 0 "$2" 10.90."$1".1 fd90:"$1"::1; }
router_only() { tool client flows -f 0 "$2" 10."$1".0.1 fd"$1"::1; }
cat >$LAB_CONF <<'EOC'
notrack th dport 8080 iif r0.10 oneway
notrack th sport 8080 iif r1.40 oneway
EOC
ctb reload >/dev/null
first_rule() { ctb stats -j | jq -r '.rules[0].rule'; }
first=$(first_rule)
ct_flush router
around server_only 10 8080
eq "iif r0.10: entries" "$(ct_entries router)" 0
eq "iif r0.10: FORWARD untracked" "${GAIN[untracked]}" "${GAIN[receive]}"
ge "iif r0.10: judged" "${GAIN[receive $first]}" 80
for other in 20 15 11; do
	around tool client flows -u 20 -f 0 -t 0 8080 10.90.$other.1
	eq "iif r0.10, not network $other: judged" "${GAIN[receive $first]}" 0
	eq "iif r0.10, not network $other: entries" "$(ct_entries router)" 20
	ct_flush router
done
cat >$LAB_CONF <<'EOC'
notrack th dport 8080 iif r0 oneway
notrack th sport 8080 iif r1.40 oneway
EOC
ctb reload >/dev/null
first=$(first_rule)
ct_flush router
around server_only 11 8080
eq "iif r0: entries" "$(ct_entries router)" 0
around tool client flows -u 20 -f 0 -t 0 8080 10.90.10.1
eq "iif r0, not VLAN 10 on it: judged" "${GAIN[receive $first]}" 0
eq "iif r0, not VLAN 10 on it: entries" "$(ct_entries router)" 20

# Local traffic: the reply leaves by the same device, so this covers both directions.
cat >$LAB_CONF <<<'notrack th dport 8080 daddr local iif r0.10'
ctb reload >/dev/null
ct_flush router
around router_only 10 8080
eq "iif r0.10, local: entries" "$(ct_entries router)" 0
ge "iif r0.10, local: judged" "${GAIN[receive]}" 80
ge "iif r0.10, local: judged in OUTPUT" "${GAIN[output]}" 80
around router_only 20 8080
eq "iif r0.10, not VLAN 20, local: entries" "$(ct_entries router)" 50
eq "iif r0.10, not VLAN 20, local: judged" $((GAIN[receive] + GAIN[output])) 0

# ---- VLAN devices that come and go -------------------------------------------------------------

cat >$LAB_CONF <<'EOC'
notrack udp dport 8080
notrack tcp dport 8080
EOC
ctb reload >/dev/null
attached() { ctb status -j | jq -e --arg d "$1" 'any(.interfaces[]; .name == $d and .mode != "none")' >/dev/null; }
vlan_add client c0 99
unknown() { tool client flows -l -u 10 -k 1 -f 0 -t 0 -w 0.3 8080 10.90.99.1 || true; }
come() {
	vlan_add router r0 99
	net 99 c0.99 r0.99
	poll 5 attached r0.99 || die "a VLAN device that came is not attached"
}
come
bypassed "VLAN 99 came" 99 r0.99
tracked "VLAN 99" 99
on router ip link del r0.99
poll 5 eval '! attached r0.99' || die "a VLAN device that went is still listed"
# Its frames are nobody's now: judged where they arrive, and dropped by the kernel behind that.
on client ip neigh replace 10.99.0.1 lladdr "$(mac_of router r0)" dev c0.99
around unknown
has "VLAN 99 went" "$OUT" "udp 0 of 10"
eq "VLAN 99 went: judged" "${GAIN[receive]}" 10
le "VLAN 99 went: left to VLAN devices" "${GAIN[reason vlan-device]}" 5 # MLD and the like of others
eq "VLAN 99 went: FORWARD" $((GAIN[untracked] + GAIN[tracked])) 0
on client ip neigh del 10.99.0.1 dev c0.99
come
bypassed "VLAN 99 came again" 99 r0.99
bypassed "the others" 15 r0.100.5
daemon_stop

# ---- real hosts, with all that their devices offload -------------------------------------------

# shellcheck disable=SC2086 # host and device
for end in "client c0" "router r0" "router r1" "server s0"; do
	on ${end% *} ethtool -K ${end#* } tx on gro on txvlan on rxvlan on >/dev/null
done
background_stop there
serve bulk server bulk_tcp serve 8080
daemon_start router
ct_flush router
for dst in 10.90.10.1 fd90:15::1; do
	around tool client bulk_tcp send $dst 8080 8000000
	say "GSO to $dst: $OUT"
	eq "GSO to $dst: entries" "$(ct_entries router)" 0
	eq "GSO to $dst: FORWARD untracked" "${GAIN[untracked]}" "${GAIN[receive]}"
	ge "GSO to $dst: judged" "${GAIN[receive]}" 100
	le "GSO to $dst: packets of more than a segment" "${GAIN[receive]}" 6000
done
pass
