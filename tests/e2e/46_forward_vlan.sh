#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 180
# VLAN devices on both sides of a router: the tag taken off, put on, exchanged, in XDP where the
# tag is in the frame and in tc elsewhere; always with the bytes that the kernel would send. Tags
# that no device stands for, priority tags and second tags are the kernel's.
# kernels: few
set -euo pipefail
. "$(dirname "$0")/../../scripts/lab.sh"
lab_enter "$@"
. "$LAB_LIB/segments.sh"

# Which devices take XDP frames is told by Linux 6.3 and later; before, there is no XDP on a veth.
has_xdp_features=0
! have_xdp_out || has_xdp_features=1

quiet_host client server
plain_router router
lab_cable client c0 router r0
on router ip link add link r0 name probe type vlan id 1 2>/dev/null ||
	skip "this kernel has no VLAN devices"
on router ip link del probe
lab_cable server s0 router r1
on router ip link set r0 down address 02:00:00:00:00:01
on router ip link set r1 down address 02:00:00:00:00:02
on router ip link set r0 up
on router ip link set r1 up
quiet_end client c0 02:00:00:00:01:01
quiet_end server s0 02:00:00:00:01:02

# vlan_add PARENT NAME VID [OPTION...]: on the router
vlan_add() {
	local parent=$1 name=$2 vid=$3
	shift 3
	on router ip link add link "$parent" name "$name" type vlan id "$vid" "$@"
	on router ip link set "$name" up
}
vlan_add r0 r0.10 10
vlan_add r0 r0.20 20
on router ip link set r0.20 address 02:00:00:00:00:20 # of its own
vlan_add r0 r0.100 100 protocol 802.1ad
vlan_add r0.100 r0.100.5 5
on router ip link set r0.100.5 mtu 1496 # two tags, and a veth has room for one
vlan_add r0 r0.10s 10 protocol 802.1ad # the same number in the other kind of tag
vlan_add r1 r1.10 10 # the same number on another cable
vlan_add r1 r1.40 40
on router ip link set r1.40 mtu 1400 address 02:00:00:00:00:40
segment c 11 r0 client:c0 -
segment c10 12 r0.10 client:c0 q10
segment c10s 16 r0.10s client:c0 a10
segment c20 13 r0.20 client:c0 q20
segment cq 14 r0.100.5 client:c0 a100,q5
segment s 21 r1 server:s0 -
segment s10 22 r1.10 server:s0 q10
segment s40 23 r1.40 server:s0 q40
xdp_segments() { # SIDE...: these take and send in XDP
	local s
	for s in "$@"; do
		SEG_IN[$s]=xdp SEG_OUT[$s]=xdp
	done
}

# The hosts' own VLAN devices tag beside the frame, as the kernel does by default.
for v in "client c0 10" "client c0 20" "server s0 10" "server s0 40"; do
	read -r host dev vid <<<"$v"
	on "$host" ip link add link "$dev" name "$dev.$vid" type vlan id "$vid"
	on "$host" ip link set "$dev.$vid" arp off up
done
tag_beside() {
	# shellcheck disable=SC2034 # segments.sh reads it
	SEG_VIA=([c10]=client:c0.10 [c20]=client:c0.20 [s10]=server:s0.10 [s40]=server:s0.40)
}
# shellcheck disable=SC2034
tag_inside() { SEG_VIA=(); }

ALL=("${SEGMENTS[@]}")

# What the kernel makes of it, before there is a daemon.
tag_inside
kernel_makes inside
tag_beside
kernel_makes beside
strict() {
	local conf
	for conf in all default r0 r1; do
		on router sysctl -qw "net.ipv4.conf.$conf.rp_filter=$1"
	done
}
tag_inside
strict 1
kernel_makes strict --strict
strict 0
SEGMENTS=(c c10 c10s s s10)
kernel_makes few
SEGMENTS=("${ALL[@]}")
add_99() {
	vlan_add r0 r0.99 99
	segment c99 15 r0.99 client:c0 q99
	SEGMENTS=("${ALL[@]}" c99)
}
add_99
kernel_makes with99
on router ip link del r0.99
SEGMENTS=("${ALL[@]}")

# ---- the tag is beside the frame, or may be: no XDP on the parents ---------------------------

watch_states router forward # and conntrack is in use
cat >$LAB/forward.conf <<<'forward daddr !local saddr !local'
daemon_conf router <$LAB/forward.conf
for dev in r0 r1 r0.10 r0.20 r0.100.5 r0.10s r1.10 r1.40; do
	eq "path of $dev" "$(path_of $dev)" tc
done
for dev in r0 r1; do
	! has_xdp $dev || die "XDP on $dev"
done
((has_xdp_features)) && has "why r0 has no XDP" "$(path_why r0)" "ethtool -K r0"
tag_beside
same_as beside "tc, tags beside the frames"
tag_inside
same_as inside "tc, tags in the frames"
strict 1
same_as strict "tc, strict reverse path" --strict
strict 0

# Only what comes in by VLAN 10, or only what comes in untagged, is forwarded.
only_by() { # DEVICE SEGMENT FILE: the rule says so, and the segment has it
	local name path=${SEG_IN[$2]:-tc}
	local -A was=()
	cat >$LAB_CONF <<<"forward daddr !local saddr !local iif $1 oneway"
	ctb reload >/dev/null
	for name in "${SEGMENTS[@]}"; do
		was[$name]=${SEG_IN[$name]:-tc}
	done
	comes unseen "${SEGMENTS[@]}"
	comes "$path" "$2"
	same_as "$3" "only by $1, $path" --kinds udp,fragments,priority
	ct_flush router # of the others
	for name in "${SEGMENTS[@]}"; do
		comes "${was[$name]}" "$name"
	done
	cp $LAB/forward.conf $LAB_CONF
	ctb reload >/dev/null
}
tag_beside
only_by r0.10 c10 beside
only_by r0 c beside
tag_inside

# ---- tags are always in the frame: XDP on both parents ---------------------------------------

if ((has_xdp_features)); then
	on client ethtool -K c0 txvlan off tx-vlan-stag-hw-insert off
	on server ethtool -K s0 txvlan off tx-vlan-stag-hw-insert off
	on router ethtool -K r0 rxvlan off
	poll 10 eval '[[ $(path_why r0) == *stag* ]]' || die "802.1ad tags: $(path_why r0)"
	on router ethtool -K r0 rx-vlan-stag-hw-parse off
	poll 10 path_is r0 xdp || die "no XDP on r0 without rxvlan: $(path_why r0)"
	eq "path of r1" "$(path_of r1)" tc
	comes xdp c c10 c20
	leaves xdp c c10 c20 s s10 s40
	same_as inside "XDP on one side"

	on router ethtool -K r1 rxvlan off rx-vlan-stag-hw-parse off
	poll 10 path_is r1 xdp || die "no XDP on r1 without rxvlan: $(path_why r1)"
	comes xdp s s10 s40
	for dev in r0.10 r0.20 r1.10 r1.40; do
		eq "path of $dev" "$(path_of $dev)" xdp
		eq "frames out of $dev" "$(takes_xdp $dev)" true
	done
	for dev in r0.100.5 r0.10s; do
		eq "path of $dev" "$(path_of $dev)" tc
		eq "frames out of $dev" "$(takes_xdp $dev)" false
	done
	same_as inside "XDP"
	tag_beside # the hosts' VLAN devices now write the tag into the frame
	same_as beside "XDP, VLAN devices send"
	tag_inside
	strict 1
	same_as strict "XDP, strict reverse path" --strict
	strict 0
	only_by r0.10 c10 inside
	only_by r0 c inside

	# VLAN devices with priorities of their own are tc's to send to.
	on router ip link set r1.10 type vlan egress 0:3
	poll 5 eval '[[ $(takes_xdp r1.10) == false ]]' || die "XDP cannot say priorities"
	on router ip link set r1.10 type vlan egress 0:0
	poll 5 eval '[[ $(takes_xdp r1.10) == true ]]' || die "no priorities any more: $(takes_why r1.10)"
fi

# ---- VLAN devices that come and go -----------------------------------------------------------

# What is no VLAN device's coming or going leaves the programs alone.
generation() { ctb status -j | jq .generation; }
before=$(generation)
on router ip link set r0.20 mtu 1490
on router ip link set r0.20 mtu 1500
sleep 0.3
eq "generation" "$(generation)" "$before"
add_99
poll 10 path_is r0.99 "${SEG_IN[c10]:-tc}" || die "a VLAN device that came: $(path_of r0.99) $(path_why r0.99)"
comes "${SEG_IN[c10]:-tc}" c99
leaves "${SEG_OUT[c10]:-tc}" c99
same_as with99 "a VLAN device came"
on router ip link del r0.99
poll 10 eval '[[ -z $(path_of r0.99) ]]' || die "a VLAN device that went"
SEGMENTS=("${ALL[@]}")
same_as inside "and went"

if ((has_xdp_features)); then
	# Without VLAN devices on it a parent may take its tags out, with the first one not any more.
	for dev in r1.10 r1.40; do
		on router ip link del $dev
	done
	on router ethtool -K r1 rxvlan on
	poll 10 path_is r1 xdp || die "no XDP without VLAN devices: $(path_why r1)"
	vlan_add r1 r1.10 10
	segment s10 22 r1.10 server:s0 q10
	SEGMENTS=(c c10 c10s s s10)
	poll 10 path_is r1 tc || die "XDP under the first VLAN device"
	! has_xdp r1 || die "an XDP program is left on r1"
	comes tc s s10
	same_as few "the first VLAN device came"
	on router ip link del r1.10
	poll 10 path_is r1 xdp || die "no XDP after the last VLAN device went: $(path_why r1)"
fi
eq "entries" "$(ct_entries router)" 0
daemon_stop

# ---- real hosts, with all that their devices offload -----------------------------------------

lab_host alice bob
lab_router gw
LAB_OFFLOAD=1 lab_cable alice a0 gw g0
LAB_OFFLOAD=1 lab_cable gw g1 bob b0
for v in "alice a0 10" "gw g0 10" "gw g1 40" "bob b0 40"; do
	read -r host dev vid <<<"$v"
	on "$host" ip link add link "$dev" name "$dev.$vid" type vlan id "$vid"
	on "$host" ip link set "$dev.$vid" up
done
lab_addr alice a0.10 10.10.0.2/24 fd10::2/64
lab_addr gw g0.10 10.10.0.1/24 fd10::1/64
lab_addr gw g1.40 10.40.0.1/24 fd40::1/64
lab_addr bob b0.40 10.40.0.2/24 fd40::2/64
on alice ip route add default via 10.10.0.1
on alice ip route add default via fd10::1
on bob ip route add default via 10.40.0.1
on bob ip route add default via fd40::1
watch_states gw forward
head -c 8000000 /dev/urandom >$LAB/blob
serve blob bob tcp_server -f $LAB/blob 80
serve echo bob tcp_server 81
rm -rf $LAB_PIN
daemon_start gw
bulk() { # WHAT
	local dst
	for dst in 10.40.0.2 fd40::2; do
		on alice timeout $((60 * ${CTB_SLOW:-1})) $PYTHON -c 'import shutil, socket, sys
shutil.copyfileobj(socket.create_connection((sys.argv[1], 80)).makefile("rb"), sys.stdout.buffer)' $dst >$LAB/got
		cmp $LAB/blob $LAB/got || die "$1: other bytes from $dst"
		tool alice tcp_flows -n 10 -k 3 $dst 81 >/dev/null
	done
	eq "$1: entries" "$(ct_entries gw)" 0
}
outcome() { ctb stats -j | jq "[.rules[0].$1[] | .packets] | add"; }
fallback() { ctb stats -j | jq --arg r "$1" ".fallbacks[] | select(.name == \$r) | .$2.packets"; }
bulk "GSO"
ge "GSO: tc" "$(outcome tc)" 200
eq "GSO: XDP" "$(outcome xdp)" 0
eq "GSO: all of it" "$(outcome tc)" "$(outcome receive)"

if ((has_xdp_features)); then
	on alice ethtool -K a0 txvlan off
	on bob ethtool -K b0 txvlan off
	on gw ethtool -K g0 rxvlan off
	on gw ethtool -K g1 rxvlan off
	for v in "alice a0" "bob b0"; do
		on ${v% *} ethtool -K ${v#* } gro on
	done
	poll 10 path_is g0.10 xdp && poll 10 path_is g1.40 xdp || die "no XDP: $(ctb status)"
	bulk "checksums left to nobody"
	ge "checksums left to nobody" "$(fallback partial-checksum to_tc)" 1000
	eq "and to the kernel" "$(fallback partial-checksum kernel)" 0
	on alice ethtool -K a0 tx off
	on bob ethtool -K b0 tx off
	before=$(outcome xdp)
	bulk "XDP"
	ge "XDP" "$(($(outcome xdp) - before))" 10000
fi
pass
