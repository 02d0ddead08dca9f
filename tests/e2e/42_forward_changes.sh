#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 300
# The network changes under traffic that is forwarded: neighbours go and move, routes change, links
# go down, MTUs shrink, routes flap; every packet is accounted for. Equal-cost paths: each flow takes
# the one that the kernel gives it.
set -euo pipefail
. "$(dirname "$0")/../../scripts/lab.sh"
lab_enter "$@"
# shellcheck source=SCRIPTDIR/lib/two_labs.sh
. "$LAB_LIB/two_labs.sh"

lab_host client one two three
lab_router router
cable() { # HOST IF ROUTER_IF NET
	lab_cable router "$3" "$1" "$2"
	on "$1" ethtool -K "$2" gro on # takes XDP frames
	lab_addr router "$3" "10.$4.0.1/24" "fd0$4::1/64"
	lab_addr "$1" "$2" "10.$4.0.2/24" "fd0$4::2/64"
}
cable client c0 r0 1
cable one s0 r1 2
cable two s0 r2 3
cable three s0 r3 4
on router sysctl -qw net.ipv4.icmp_ratemask=0 net.ipv6.icmp.ratemask= # no limit on them all, too
on router ip route add 10.10.0.0/16 via 10.1.0.2
on router ip -6 route add fd10::/32 via fd01::2
tests=(neighbour route link mtu flap mac)

if [[ -n ${CTB_LONG:-} ]]; then
	tool router forward_changes kernel "${tests[@]}" || die "the kernel alone does not pass"
fi
for mode in $(forward_modes); do
	run=()
	[[ $mode == xdp ]] || run=(-X)
	daemon_conf router "${run[@]}" <<<'forward saddr !local daddr !local'
	tool router forward_changes $mode $LAB_SOCK "${tests[@]}" || die "$mode"
	daemon_stop
done
on router "$CTBYPASS" unload -P $LAB_PIN

# Equal-cost paths: the same leg for every flow, its fragments and its ICMP errors, whatever is
# hashed. Where the kernel hashes what an error quotes, errors are left to it.
two_lab a
two_lab b
two_both ip route add 10.70.0.0/16 nexthop via 10.2.0.2 weight 2 nexthop via 10.3.0.2
two_both ip -6 route add fd70::/32 nexthop via fd02::2 weight 2 nexthop via fd03::2
$PYTHON "$LAB_LIB/forward_bytes.py" --print-rules --rules addr >$LAB_CONF
for mode in $(forward_modes); do
	opt=() run=()
	[[ $mode == xdp ]] || opt=(--no-xdp) run=(-X)
	daemon_start router-b "${run[@]}"
	for policy in 0 1; do
		two_both sysctl -qw net.ipv4.fib_multipath_hash_policy=$policy \
			net.ipv6.fib_multipath_hash_policy=$policy
		ctb reload >/dev/null # nobody is told of these sysctls
		up=
		((policy)) || up=46
		two_same "$mode, hash policy $policy" "${opt[@]}" --socket $LAB_SOCK --errors-up "$up" \
			--classes ecmp,ecmp_fragments,ecmp_errors --count 1500
	done
	daemon_stop
done
pass
