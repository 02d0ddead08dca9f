#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 180
# Tunnels that end on the router: VXLAN, GRE, GRETAP, IPIP, GRE over IPv6. Outer and inner packets are
# judged each by their own rules: the outer bypassed and the inner tracked, the other way round, both.
# A mark survives decapsulation, ours must not: what comes out of a bypassed tunnel is tracked, also
# where the tunnel's device has no program. Forward rules leave tunnels to the kernel.
# kernels: few
set -euo pipefail
. "$(dirname "$0")/../../scripts/lab.sh"
lab_enter "$@"
. "$LAB_LIB/gains.sh"

lab_line
watch_states router forward
long_entries
# left: the low byte as a whole, since Linux 6.12 sends MLD reports with a mark of 0xce of its own.
on router nft -f - <<'EOT'
table inet marks {
	counter came_with_bit {}
	counter came_with_foreign {}
	counter left_with_bit {}
	chain after {
		type filter hook prerouting priority -299;
		meta mark and 0xff == 0x40 counter name left_with_bit
		iifname r1 meta mark set mark or 0x100
	}
	chain sent {
		type filter hook output priority -299;
		meta mark and 0xff == 0x40 counter name left_with_bit
	}
}
EOT
serve there server echo 8080 8081
serve bulk server bulk_tcp serve 5001
daemon_conf router <<<'failsafe { }'
# Behind defragmentation and in front of ours: of equal priorities the chain made later comes first.
on router nft -f - <<'EOT'
table inet marks {
	chain before {
		type filter hook prerouting priority -399;
		iifname tun0 meta l4proto { tcp, udp } meta mark and 0x40 == 0x40 counter name came_with_bit
		iifname tun0 meta l4proto { tcp, udp } meta mark and 0x100 == 0x100 counter name came_with_foreign
	}
}
EOT
direct || has "the mark bit" "$(ctb status)" "mark 0x40"
marks() { on router nft -j list counter inet marks "$1" | jq '[.nftables[].counter? | values | .packets] | add'; }

mode_of() { ctb status -j | jq -r --arg d "$1" '.interfaces[] | select(.name == $d) | .mode'; }
is_attached() { [[ $(mode_of "$1") == tcx || $(mode_of "$1") == clsact ]]; }

# tunnel KIND: tun0 from router to server, 10.77.0.1 and .2, fd77::1 and ::2 inside; INSIDE the
# addresses that the client can reach through it, OUTER a rule for what carries it, WIRE a filter
tunnel() {
	local end dev=tun0
	KIND=$1 INSIDE="10.77.0.2 fd77::2" OUTER="notrack gre" WIRE="proto 47"
	for end in "router 1 2" "server 2 1"; do
		read -r host me peer <<<"$end"
		on "$host" ip link del tun0 2>/dev/null || true
		local -a ends=(local 10.2.0."$me" remote 10.2.0."$peer")
		# The router is .1 there, the server .2.
		case $KIND in
		vxlan)
			OUTER="notrack udp port 4789" WIRE="udp port 4789"
			ends+=(id 42 dstport 4789)
			;;
		gre | gretap) ends+=(key 7) ;;
		ipip)
			OUTER="notrack 4" WIRE="ip proto 4" INSIDE="10.77.0.2"
			;;
		ip6gre) # with destination options in front of it, by default
			WIRE="ip6 proto 60"
			ends=(local fd02::"$me" remote fd02::"$peer")
			;;
		esac
		on "$host" ip link add tun0 type "$KIND" "${ends[@]}" 2>/dev/null || return
		on "$host" ip link set tun0 up
		lab_addr "$host" tun0 10.77.0."$me"/24
		[[ $KIND == ipip ]] || lab_addr "$host" tun0 fd77::"$me"/64
	done
	on server ip route replace 10.1.0.0/24 via 10.77.0.1 dev tun0
	[[ $KIND == ipip ]] || on server ip route replace fd01::/64 via fd77::1 dev tun0
	poll 5 is_attached tun0 || die "$KIND: tun0 is not attached"
}

# mtu on|off: let the client know of the tunnels' MTU beforehand, or find it out
mtu() {
	local route
	for route in "10.77.0.0/24 via 10.1.0.1" "fd77::/64 via fd01::1"; do
		if [[ $1 == on ]]; then
			on client ip route add $route mtu 1400
		else
			on client ip route del $route
		fi
	done
}
mtu on

rules() { # one in each line of the argument
	printf '%s\n' 'failsafe { }' "$1" >$LAB_CONF
	ctb reload >/dev/null
	ct_flush router
}
inner='notrack udp dport 8080
notrack tcp dport 8080'

# entries outer|inner: of the tunnel, or of flows through it. Hosts speak IGMP, too, at any time.
entries() {
	local pattern='src=(10\.2\.0\.|fd02:)[^ ]* dst=(10\.2\.0\.|fd02:)'
	[[ $1 == outer ]] || pattern='^(udp|tcp) .* dst=(10\.77\.0\.2|fd77::2) '
	ct_list router | grep -cE "$pattern" || true
}
no_entries() {
	eq "$1: inner entries" "$(entries inner)" 0
	eq "$1: outer entries" "$(entries outer)" 0
}
# through WHAT HOST PORT: flows from there to the far side of the tunnel
through() {
	WHAT="$KIND: $1"
	local bit foreign
	bit=$(marks came_with_bit) foreign=$(marks came_with_foreign)
	capture_start r0 router r0 -Q in ip or ip6
	capture_start r1 router r1 ip or ip6
	capture_start tun0 router tun0 -Q in ip or ip6
	# shellcheck disable=SC2086 # several addresses
	around tool "$2" flows "$3" $INSIDE
	for dev in r0 r1 tun0; do
		capture_stop $dev
	done
	# shellcheck disable=SC2086
	set -- $INSIDE
	FLOWS=$((30 * $#))
	BIT=$(($(marks came_with_bit) - bit)) FOREIGN=$(($(marks came_with_foreign) - foreign))
	say "$WHAT: $OUT"
	eq "$WHAT: our bit behind our chains" "$(marks left_with_bit)" 0
	eq "$WHAT: FORWARD invalid" "${GAIN[invalid]}" 0
}
# What carries the tunnel carries also what hosts on it say at any time: neighbours, multicast.
about() {
	local off=$(($2 - $3))
	le "$1, of $3: off by" ${off#-} 4
}
outer_in() { captured r1 "$WIRE and ether dst $(mac_of router r1)"; }
outer_out() { captured r1 "$WIRE and ether src $(mac_of router r1)"; }
inner_in() { echo $(($(captured r0 "$FIRST") + $(captured tun0 "$FIRST"))); }

outer_bypassed() { # WHAT
	rules "$OUTER"
	through "$1" client 8080
	ge "$WHAT: outer packets" "$(outer_in)" 60
	about "$WHAT: judged" "${GAIN[receive]}" "$(outer_in)"
	about "$WHAT: judged in OUTPUT" "${GAIN[output]}" "$(outer_out)"
	eq "$WHAT: outer entries" "$(entries outer)" 0
	eq "$WHAT: inner entries" "$(entries inner)" $FLOWS
	eq "$WHAT: FORWARD untracked" "${GAIN[untracked]}" 0
	eq "$WHAT: inner packets with our bit" "$BIT" 0
	# Everything else of the mark does come through, as the kernel has it.
	eq "$WHAT: inner packets with a foreign bit" "$FOREIGN" "$(captured tun0 "$FIRST")"
}
inner_bypassed() {
	rules "$inner"
	through "inner bypassed" client 8080
	eq "$WHAT: judged" "${GAIN[receive]}" "$(inner_in)"
	eq "$WHAT: inner entries" "$(entries inner)" 0
	ge "$WHAT: outer entries" "$(entries outer)" 1
	eq "$WHAT: FORWARD tracked" "${GAIN[tracked]}" 0
	eq "$WHAT: inner packets with our bit" "$BIT" "$(direct && echo 0 || captured tun0 "$FIRST")"
	rules "$inner"
	through "inner, near miss" client 8081
	eq "$WHAT: judged" "${GAIN[receive]}" 0
	eq "$WHAT: inner entries" "$(entries inner)" $FLOWS
	eq "$WHAT: inner packets with our bit" "$BIT" 0
}
both_bypassed() {
	rules "$OUTER
$inner"
	through "both bypassed" client 8080
	about "$WHAT: judged" "${GAIN[receive]}" $(($(inner_in) + $(outer_in)))
	about "$WHAT: judged in OUTPUT" "${GAIN[output]}" "$(outer_out)"
	no_entries "$WHAT"
	eq "$WHAT: FORWARD tracked" "${GAIN[tracked]}" 0
	# What the router itself sends through the tunnel is judged in OUTPUT twice.
	through "both bypassed, of the router's own" router 8080
	no_entries "$WHAT"
	about "$WHAT: judged" "${GAIN[receive]}" $(($(inner_in) + $(outer_in)))
	ge "$WHAT: judged in OUTPUT" $((GAIN[output] + 4)) $(($(outer_out) + FLOWS))
}

tunnel vxlan || skip "this kernel has no vxlan devices"
outer_bypassed "outer bypassed"
inner_bypassed
both_bypassed

# Without a program on the tunnel's device nobody looks at the mark of what comes out of it.
OUTER="interface r0 r1
$OUTER" outer_bypassed "outer bypassed, only r0 and r1 attached"

# ---- path MTU and bulk -------------------------------------------------------------------------

# The server allows for its own tunnel's MTU, the router's is less: it has to say so.
on router ip link set tun0 mtu 1300
bulk() { # WHAT
	local dst
	for dst in $INSIDE; do
		on client ip route flush cache
		around tool client bulk_tcp send "$dst" 5001 400000
		say "$KIND, $1, to $dst: $OUT"
		eq "$KIND, $1: FORWARD invalid" "${GAIN[invalid]}" 0
	done
}
mtu off
rules "$OUTER
notrack tcp dport 5001"
bulk "both bypassed"
no_entries "bulk"
ge "bulk: too long for the tunnel" "$(ctb stats -j | jq '[.rules[].output.icmp_error.packets] | add')" 1
rules "$OUTER"
bulk "outer bypassed"
mtu on
eq "bulk: inner entries" "$(entries inner)" 2
eq "bulk: outer entries" "$(entries outer)" 0

# ---- other tunnels -----------------------------------------------------------------------------

# forwarded_by_kernel: forward rules leave devices without Ethernet header to the kernel.
forwarded_by_kernel() {
	rules 'forward daddr !local saddr !local'
	through "forward" client 8080
	eq "$WHAT: forwarded" $((GAIN[xdp] + GAIN[tc])) 0
	# shellcheck disable=SC2004 # names with spaces
	# Fragments count as long as the MTU of r0 lets them be.
	eq "$WHAT: into the tunnel" $((${GAIN[kernel egress]} + ${GAIN[kernel mtu]})) \
		"$(captured r0 "$FIRST or $LATER")"
	ge "$WHAT: into the tunnel" "${GAIN[kernel egress]}" 100
	eq "$WHAT: out of the tunnel" "${GAIN[kernel device]}" "$(captured tun0 "$FIRST or $LATER")"
	eq "$WHAT: inner entries" "$(entries inner)" 0
	ge "$WHAT: outer entries" "$(entries outer)" 1
	eq "$WHAT: FORWARD tracked" "${GAIN[tracked]}" 0
}
tunnel gre || skip "this kernel has no gre devices"
outer_bypassed "outer bypassed"
both_bypassed
forwarded_by_kernel
for kind in gretap ipip ip6gre; do
	tunnel $kind || skip "this kernel has no $kind devices"
	outer_bypassed "outer bypassed"
done
both_bypassed

# VXLAN is Ethernet: forwarded into and out of it like any other, and what carries it is not.
tunnel vxlan
rules 'forward daddr !local saddr !local'
through "forward" client 8080
ge "$WHAT: forwarded" $((GAIN[xdp] + GAIN[tc])) 100
eq "$WHAT: inner entries" "$(entries inner)" 0
ge "$WHAT: outer entries" "$(entries outer)" 1
eq "$WHAT: FORWARD tracked" "${GAIN[tracked]}" 0
pass
