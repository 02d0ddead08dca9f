#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 180
# Devices made of other devices on both sides of a router: bond, bridge, VLAN devices on them,
# macvlan, VRF; and devices that are enslaved and released while XDP is on them. The same frames
# leave by the same cables as the kernel would send them.
# kernels: few
set -euo pipefail
. "$(dirname "$0")/../../scripts/lab.sh"
lab_enter "$@"
. "$LAB_LIB/segments.sh"

has_xdp_features=0
! have_xdp_out || has_xdp_features=1

quiet_host client office server dmz red blue
plain_router router
for kind in "bond mode active-backup miimon 50" bridge vrf\ table\ 100; do
	# shellcheck disable=SC2086 # several words
	on router ip link add probe type $kind 2>/dev/null || skip "this kernel has no ${kind%% *} devices"
	on router ip link del probe
done
# Where br_netfilter is loaded, it is on by default.
bridge_netfilter() {
	on router sysctl -qw net.bridge.bridge-nf-call-{ip,ip6}tables="$1" 2>/dev/null
}
bridge_netfilter 0 || true
n=0
for cable in "client c1 b1" "client c2 b2" "office o1 p1" "office o2 p2" "server s0 r1" "dmz d0 r2" \
	"red x0 v1" "blue y0 v2"; do
	read -r host far near <<<"$cable"
	n=$((n + 1))
	lab_cable "$host" "$far" router "$near"
	on router ip link set "$near" down address 02:00:00:00:00:0$n
	on router ip link set "$near" up
	quiet_end "$host" "$far" 02:00:00:00:02:0$n
done
up() { # DEVICE [MAC]
	on router ip link set "$1" ${2:+address "$2"} up
}
# A bond of b1 and b2, and a VLAN on it.
on router ip link add bond0 type bond mode active-backup miimon 50
for dev in b1 b2; do
	on router ip link set $dev down
	on router ip link set $dev master bond0
done
up bond0
on router ip link set bond0 type bond active_slave b1
on router ip link add link bond0 name bond0.10 type vlan id 10
up bond0.10
# A bridge of p1 and p2 that the router has its own address on, and a VLAN on it.
on router ip link add br0 type bridge
on router ip link set p1 master br0
on router ip link set p2 master br0
up br0 02:00:00:00:00:30
on router ip link add link br0 name br0.10 type vlan id 10
up br0.10
for port in "02:00:00:00:01:31 p1" "02:00:00:00:01:32 p2" "02:00:00:00:01:33 p1"; do
	on router bridge fdb replace ${port% *} dev ${port#* } master static
done
# A second MAC address on r1.
on router ip link add link r1 name mv0 type macvlan mode bridge
up mv0 02:00:00:00:00:41
# Two of the cables are a VRF's.
on router ip link add vrf0 type vrf table 100
on router ip route add table 100 unreachable default metric 4278198272
on router ip -6 route add table 100 unreachable default metric 4278198272
up vrf0
for dev in v1 v2; do
	on router ip link set $dev master vrf0
done

segment c 21 bond0 client:c1 -
segment c10 22 bond0.10 client:c1 q10
segment o1 31 br0 office:o1 -
segment o2 32 br0 office:o2 -
segment o10 33 br0.10 office:o1 q10
segment s 11 r1 server:s0 -
segment m 41 mv0 server:s0 -
segment d 12 r2 dmz:d0 -
ALL=("${SEGMENTS[@]}")
SEGMENTS=()
segment v1 51 v1 red:x0 -
segment v2 52 v2 blue:y0 -
VRF=("${SEGMENTS[@]}")
SEGMENTS=("${ALL[@]}")

active() { # SLAVE CABLE
	on router ip link set bond0 type bond active_slave "$1"
	segment c 21 bond0 client:"$2" -
	segment c10 22 bond0.10 client:"$2" q10
}
without_bond() { SEGMENTS=(o1 o2 o10 s m d); }
with_slave() { # r2 in the bond, and active
	on router ip link set r2 down
	on router ip addr flush dev r2
	on router ip link set r2 master bond0
	on router ip link set bond0 type bond active_slave r2
	SEGMENTS=(c c10 o1 o2 o10 s m)
	segment c 21 bond0 dmz:d0 -
	segment c10 22 bond0.10 dmz:d0 q10
}
released() {
	on router ip link set r2 nomaster
	on router ip link set r2 address 02:00:00:00:00:06 up
	SEGMENTS=("${ALL[@]}")
	segment d 12 r2 dmz:d0 -
	active b1 c1
}

# ---- what the kernel makes of it ---------------------------------------------------------------

kernel_makes b1
active b2 c2
kernel_makes b2
with_slave
kernel_makes r2
released
kernel_makes again
eq "a device released is what it was" "$(<$LAB/again)" "$(<$LAB/b1)"
SEGMENTS=("${VRF[@]}")
kernel_makes vrf
SEGMENTS=("${ALL[@]}")

# ---- bond and bridge in tc, the other two cables in XDP ----------------------------------------

watch_states router forward
daemon_conf router <<<'forward daddr !local saddr !local'
for dev in bond0 bond0.10 br0 br0.10 mv0; do
	eq "path of $dev" "$(path_of $dev)" tc
	ne "why $dev has no XDP" "$(path_why $dev)" ""
	eq "XDP frames out of $dev" "$(takes_xdp $dev)" false
	ne "why XDP frames cannot leave by $dev" "$(takes_why $dev)" ""
	! has_xdp $dev || die "XDP on $dev"
done
has "why bond0 has no XDP" "$(path_why bond0)" bond
has "why br0 has no XDP" "$(path_why br0)" bridge
for dev in b1 b2 p1 p2; do
	eq "path of $dev" "$(path_of $dev)" -
	has "why $dev" "$(status_of $dev .why)" "enslaved to"
	! has_xdp $dev || die "XDP on $dev"
done
if ((has_xdp_features)); then
	comes xdp s d
	leaves xdp s d
fi
for dev in r1 r2; do
	eq "path of $dev" "$(path_of $dev)" "${SEG_IN[s]:-tc}"
done
same_as b1 "bond and bridge"
active b2 c2
same_as b2 "after failover"

# Frames that arrive at the slave that is not active are nobody's.
segment c 21 bond0 client:c1 -
segment c10 22 bond0.10 client:c1 q10
comes lost c c10
echo '[]' >$LAB/nothing
same_as nothing "the slave that is not active" --only c,c10 --kinds udp,fragments,priority,error
comes tc c c10
active b1 c1

# ---- enslaved and released while XDP is on it --------------------------------------------------

with_slave || die "the bond refuses a device that has our program"
poll 10 path_is r2 - || die "enslaved: r2 is still $(path_of r2)"
! has_xdp r2 || die "XDP is still on an enslaved device"
comes tc s # nobody is left that takes XDP frames
same_as r2 "a slave that had XDP"
released
((has_xdp_features)) && comes xdp s
poll 10 path_is r2 "${SEG_IN[s]:-tc}" || die "released: r2 is $(path_of r2), $(path_why r2)"
poll 10 path_is r1 "${SEG_IN[s]:-tc}" || die "released: r1 is $(path_of r1), $(path_why r1)"
same_as b1 "released"

# Into the bridge and out again.
on router ip addr flush dev r2
on router ip link set r2 master br0 || die "the bridge refuses a device that has our program"
poll 10 path_is r2 - || die "in a bridge: r2 is still $(path_of r2)"
! has_xdp r2 || die "XDP is still on a bridge port"
on router ip link set r2 nomaster
segment d 12 r2 dmz:d0 -
poll 10 path_is r2 "${SEG_IN[s]:-tc}" || die "out of the bridge: r2 is $(path_of r2), $(path_why r2)"
poll 10 path_is r1 "${SEG_IN[s]:-tc}" || die "out of the bridge: r1 is $(path_of r1)"
same_as b1 "released by the bridge" --only s,d,o1

# ---- a port named by an interface statement ----------------------------------------------------

cat >$LAB_CONF <<'EOT'
interface p1 b1 r1 r2
forward daddr !local saddr !local
EOT
on router "$CTBYPASS" check -j -c $LAB_CONF >$LAB/check.json 2>$LAB/check.log || die "check: $(<$LAB/check.log)"
checked() { jq -r --arg d "$1" '.forward.interfaces[] | select(.name == $d) | '"$2" $LAB/check.json; }
for port in "p1 br0" "b1 bond0"; do
	dev=${port% *} master=${port#* }
	eq "check: $dev" "$(checked $dev .in)" kernel
	has "check: why" "$(checked $dev .why_in)" "enslaved to $master"
	eq "check: $master" "$(checked $master .in)" -
	has "check: why" "$(checked $master .why_in)" "not named"
done
ctb reload >/dev/null 2>&1
for dev in p1 b1; do
	eq "path of $dev, by name" "$(path_of $dev)" kernel
	has "why" "$(path_why $dev)" "enslaved to"
done
comes device o1 c
comes unseen o2 o10 m c10
same_as b1 "ports by name" --kinds udp,tcp,echo,full,cut,error,spoofed
comes tc c c10 o1 o2 o10 m
cat >$LAB_CONF <<<'forward daddr !local saddr !local'
ctb reload >/dev/null

# ---- VRF ---------------------------------------------------------------------------------------

SEGMENTS=("${VRF[@]}")
for dev in v1 v2; do
	eq "path of $dev" "$(path_of $dev)" kernel
	has "why" "$(path_why $dev)" "enslaved to vrf0"
	eq "XDP frames out of $dev" "$(takes_xdp $dev)" false
done
comes device v1 v2
same_as vrf VRF
SEGMENTS=("${ALL[@]}")
eq "entries" "$(ct_entries router)" 0

# ---- br_netfilter: PREROUTING and conntrack run on the ports already ---------------------------

if bridge_netfilter 1; then
	has "status" "$(ctb status)" "bridge-nf-call"
	same_as b1 "br_netfilter" --kinds udp,tcp,echo,full,cut,ttl,priority,error
else
	say "br_netfilter is not loaded"
fi
pass
