#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Interfaces that appear, disappear, come back and are renamed while the daemon runs; named ones,
# globs and the default; a cable in a bridge is judged once.
# kernels: few
# run: confined
set -euo pipefail
. "$(dirname "$0")/../../scripts/lab.sh"
lab_enter "$@"

lab_line
watch_states router forward "meta l4proto udp"
serve echo server udp_echo 8080
attached() { # names, sorted
	ctb status -j | jq -r '[.interfaces[] | select(.mode == "tcx" or .mode == "clsact") | .name] | sort | join(" ")'
}
attached_are() { [[ $(attached) == "$1" ]]; }
works() { # WHAT: traffic through r0 is bypassed both ways
	local before
	ct_flush router
	before=$(state_count router forward untracked)
	tool client udp_flows -n 20 10.2.0.2 8080
	eq "$1: untracked" $(($(state_count router forward untracked) - before)) 40
	eq "$1: entries" "$(ct_entries router)" 0
}

daemon_conf router <<<'notrack udp dport 8080'
eq "by default" "$(attached)" "r0 r1"
works "by default"

# A device that appears, and goes.
lab_cable client late router r9
poll 5 attached_are "r0 r1 r9" || die "a new device is not attached: $(attached)"
on router ip link del r9
poll 5 attached_are "r0 r1" || die "a lost device is still listed: $(attached)"

# The cable that traffic uses goes and comes back.
on router ip link del r0
poll 5 attached_are "r1" || die "a lost device is still listed: $(attached)"
lab_cable client c0 router r0
lab_addr client c0 10.1.0.2/24 fd01::2/64
lab_addr router r0 10.1.0.1/24 fd01::1/64
on client ip route add default via 10.1.0.1
poll 5 attached_are "r0 r1" || die "a device that came back is not attached: $(attached)"
works "after the cable came back"

# Renamed: still the same device, still attached.
on router ip link set r0 down
on router ip link set r0 name wan0
on router ip link set wan0 up
poll 5 attached_are "r1 wan0" || die "a renamed device: $(attached)"
lab_addr router wan0 fd01::1/64 2>/dev/null || true
works "renamed"

# Named interfaces and globs, also such as do not exist yet.
cat >$LAB_CONF <<<'interface wan0 "lan*"
notrack udp dport 8080'
ctb reload
poll 5 attached_are "wan0" || die "named interfaces: $(attached)"
on router ip link set r1 down
on router ip link set r1 name lan7
on router ip link set lan7 up
on router ip addr flush dev lan7
lab_addr router lan7 10.2.0.1/24 fd02::1/64
poll 5 attached_are "lan7 wan0" || die "renamed into the glob: $(attached)"
works "renamed into the glob"
on router ip link set lan7 down
on router ip link set lan7 name r1
on router ip link set r1 up
on router ip addr flush dev r1
lab_addr router r1 10.2.0.1/24 fd02::1/64
poll 5 attached_are "wan0" || die "renamed out of the glob: $(attached)"
# Requests are marked on wan0, replies arrive on a device that was not asked for: tracked.
tool client udp_flows -n 5 10.2.0.2 8080
eq "entries from a device that is not ours" "$(ct_entries router)" 5

# Rules that name interfaces.
cat >$LAB_CONF <<<'notrack udp dport 8080 iif wan0 oneway
notrack udp sport 8080 iif r1 oneway'
ctb reload
poll 5 attached_are "r1 wan0" || die "back to the default: $(attached)"
works "by iif"
lab_cable client c5 router r5
lab_addr client c5 10.5.0.2/24
lab_addr router r5 10.5.0.1/24
on client ip route replace default via 10.5.0.1
poll 5 attached_are "r1 r5 wan0" || die "a third device: $(attached)"
ct_flush router
tool client udp_flows -n 5 10.2.0.2 8080
ge "entries through another interface than the rule's" "$(ct_entries router)" 5
on router ip link set wan0 down
on router ip link set r5 down
on router ip link set wan0 name old0
on router ip link set r5 name wan0
on router ip link set wan0 up
on client ip route replace default via 10.5.0.1
poll 5 attached_are "old0 r1 wan0" || die "names swapped: $(attached)"
ct_flush router
tool client udp_flows -n 5 10.2.0.2 8080
eq "entries after another device took the rule's name" "$(ct_entries router)" 0

# A bridge port is not attached by itself, the bridge is: each packet is judged once.
# A bridge that snoops joins a group and says so, IGMP, up to a second later, which is tracked.
on router ip link set wan0 down
on router ip addr flush dev wan0
on router ip link add br0 type bridge mcast_snooping 0
on router ip link set wan0 master br0
on router ip link set br0 up
on router ip link set wan0 up
lab_addr router br0 10.5.0.1/24
cat >$LAB_CONF <<<'notrack udp dport 8080'
ctb reload
# With br_netfilter conntrack sees packets on the port already: warned of.
nf=net.bridge.bridge-nf-call-
if on router sysctl -qw ${nf}iptables=0 ${nf}ip6tables=1 2>/dev/null; then
	has "status with br_netfilter" "$(ctb status)" "bridge-nf-call-ip6tables"
	on router sysctl -qw ${nf}ip6tables=0
fi
hasnt "status" "$(ctb status)" "bridge-nf"
poll 5 attached_are "br0 old0 r1" || die "a bridge and its port: $(attached)"
on client ip route replace default via 10.5.0.1
rule=$(rule_where 8080)
before=$(rule_all "$rule")
ct_flush router
tool client udp_flows -n 20 10.2.0.2 8080
eq "judged once behind a bridge" $(($(rule_all "$rule") - before)) 40
eq "entries behind a bridge" "$(ct_entries router)" 0
pass
