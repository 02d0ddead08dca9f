#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 600
# TCP in bulk over the forwarding path, byte for byte: in XDP with whole checksums, in XDP with
# senders that leave checksums to the hardware (which tc has to forward), in tc with GSO and GRO, and
# jumbo frames, of which XDP sees several buffers. 1 GB in all, 10 GB in the long run. Both families
# at once; the fast path is what carried it; conntrack saw nothing.
# run: confined
set -euo pipefail
. "$(dirname "$0")/../../scripts/lab.sh"
lab_enter "$@"

mb=1000000
[[ -z ${CTB_LONG:-} ]] || mb=10000000

lab_line
watch_states router forward "meta l4proto tcp"
serve bulk server bulk_tcp serve 5001

# offload on|off: TCP checksums and segmentation at both hosts, GRO on the router and the hosts
offload() {
	on client ethtool -K c0 tx "$1" >/dev/null
	on server ethtool -K s0 tx "$1" >/dev/null
	on client ethtool -K c0 gro on
	on server ethtool -K s0 gro on
}
mtu() {
	on client ip link set c0 mtu "$1"
	on router ip link set r0 mtu "$1"
	on router ip link set r1 mtu "$1"
	on server ip link set s0 mtu "$1"
}

# bulk MEGABYTES: so many over IPv4, and over IPv6 at the same time
bulk() {
	local bytes=$(($1 * mb)) pid
	tool client bulk_tcp send 10.2.0.2 5001 $bytes 2 >$LAB/bulk4 &
	pid=$!
	tool client bulk_tcp send fd02::2 5001 $bytes >$LAB/bulk6 || die "IPv6: $(cat $LAB/bulk6)"
	wait $pid || die "IPv4: $(cat $LAB/bulk4)"
	say "$what: IPv4 $(cat $LAB/bulk4); IPv6 $(cat $LAB/bulk6)"
}

# carried xdp|tc: packets of the rule so forwarded; kernel: those that were not
carried() {
	local side=$1
	ctb stats -j | jq --arg s "$side" '[.rules[] | if $s == "kernel" then
		([.receive[].packets] | add) - ([.xdp[].packets] | add) - ([.tc[].packets] | add)
		else .[$s][].packets end] | add'
}
fallback() { ctb stats -j | jq --arg n "$1" '.fallbacks[] | select(.name == $n) | .to_tc.packets'; }

# phase WHAT MEGABYTES: bulk, and what the counters gained: $xdp, $tc, $kernel, $partial
phase() {
	what=$1
	local x t k p
	x=$(carried xdp) t=$(carried tc) k=$(carried kernel) p=$(fallback partial-checksum)
	bulk "$2"
	xdp=$(($(carried xdp) - x)) tc=$(($(carried tc) - t))
	kernel=$(($(carried kernel) - k)) partial=$(($(fallback partial-checksum) - p))
	say "$what: forwarded in XDP $xdp, in tc $tc, of that with partial checksums $partial; kernel $kernel"
	eq "$what: left to the kernel" "$kernel" 0
	eq "entries" "$(ct_entries router)" 0
	eq "seen in FORWARD" "$(state_count router forward untracked)" 0
}

offload off
echo 'forward saddr !local daddr !local' >$LAB_CONF
if have_xdp_out; then
	daemon_start router
	phase "xdp" 100
	ge "packets in XDP" "$xdp" 100000
	le "packets in tc" "$tc" $((xdp / 100 + 50))

	mtu 9000
	sleep 0.3
	phase "xdp, jumbo frames" 100
	ge "packets in XDP" "$xdp" 20000
	le "packets in tc" "$tc" $((xdp / 50 + 50))
	mtu 1500

	offload on
	sleep 0.3
	phase "xdp, partial checksums" 100
	ge "packets with partial checksums" "$partial" 1000
	ge "packets in tc" "$tc" "$partial"
	daemon_stop
fi

offload on
daemon_start router -X
on router ethtool -K r0 gro on tx on >/dev/null
on router ethtool -K r1 gro on tx on >/dev/null
phase "tc, GSO and GRO" 200
eq "packets in XDP" "$xdp" 0
ge "packets in tc" "$tc" 1000
daemon_stop
pass
