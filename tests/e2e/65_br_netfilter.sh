#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# br_netfilter lets conntrack see packets on a bridge's ports, before the bridge, where they are
# judged: check and status warn of it as long as it is switched on, it does what they say, and
# switched off all is well. Loading it changes every bridge of the machine, so unless it is loaded
# already this runs only in a machine of its own: make check-kernels.
# run: alone
# timeout: 90
set -euo pipefail
. "$(dirname "$0")/../../scripts/lab.sh"
lab_enter "$@"
. "$LAB_LIB/gains.sh"

lab_host office server
lab_router router
[[ ! -e /etc/vm-command ]] || modprobe -q br_netfilter || true
on router ip link add br0 type bridge 2>/dev/null || skip "this kernel has no bridge devices"
# bridge_netfilter IPV4 IPV6
bridge_netfilter() {
	on router sysctl -qw net.bridge.bridge-nf-call-iptables="$1" \
		net.bridge.bridge-nf-call-ip6tables="$2" 2>/dev/null
}
bridge_netfilter 1 1 || skip "br_netfilter is not loaded"
lab_cable office o1 router p1
lab_cable router r1 server s0
on router ip link set p1 master br0
on router ip link set br0 up
lab_addr office o1 10.2.0.2/24 fd02::2/64
lab_addr router br0 10.2.0.1/24 fd02::1/64
lab_addr router r1 10.3.0.1/24 fd03::1/64
lab_addr server s0 10.3.0.2/24 fd03::2/64
on office ip route add default via 10.2.0.1
on office ip route add default via fd02::1
on server ip route add default via 10.3.0.1
on server ip route add default via fd03::1
watch_states router forward
long_entries
serve echo server echo 8080 8081
daemon_conf router <<'EOC'
notrack udp dport 8080
notrack tcp dport 8080
EOC

# warned SYSCTL: of this one, by status and by check; or of none
warned() {
	local status check
	status=$(ctb status)
	check=$(on router "$CTBYPASS" check -c $LAB_CONF 2>&1) || die "check: $check"
	if [[ $1 == none ]]; then
		hasnt "status" "$status" "net.bridge"
		hasnt "check" "$check" "net.bridge"
		return
	fi
	has "status" "$status" "sysctl net.bridge.$1 lets conntrack see packets on the ports of br0"
	has "check" "$check" "sysctl net.bridge.$1 lets conntrack see packets on the ports of br0"
}
# What the warning says: what arrives there is tracked, what comes back is not.
one_sided() { # ADDRESS
	ct_flush router
	around tool office flows -f 0 -t 0 8080 "$1"
	eq "$1, switched on: entries" "$(ct_count router -p udp)" 20 # MLD makes others
	eq "$1, switched on: FORWARD tracked" "${GAIN[tracked]}" 40
	eq "$1, switched on: FORWARD untracked" "${GAIN[untracked]}" 40
}
bypassed() { # ADDRESS
	ct_flush router
	around tool office flows 8080 "$1"
	eq "$1, switched off: entries" "$(ct_count router -p udp)" 0
	eq "$1, switched off: FORWARD tracked" "${GAIN[tracked]}" 0
	eq "$1, switched off: FORWARD untracked" "${GAIN[untracked]}" "${GAIN[receive]}"
	ge "$1, switched off: judged" "${GAIN[receive]}" 100
}

warned bridge-nf-call-iptables
one_sided 10.3.0.2
one_sided fd03::2
bridge_netfilter 0 1
warned bridge-nf-call-ip6tables
bypassed 10.3.0.2
one_sided fd03::2
bridge_netfilter 0 0
warned none
bypassed 10.3.0.2
bypassed fd03::2
ct_flush router
around tool office flows 8081 10.3.0.2 fd03::2
eq "near miss: entries" "$(ct_entries router)" 60
eq "near miss: judged" "${GAIN[receive]}" 0
pass
