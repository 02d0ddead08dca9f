#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Kernels without some module: the best that works, or a refusal that names what is missing. Loading
# of modules is the whole machine's, so this runs only in one of its own: make check-kernels.
# run: alone
# timeout: 120
# kernels: few
# run: own hand-over
set -euo pipefail
. "$(dirname "$0")/../../scripts/lab.sh"
lab_enter "$@"
[[ -e /etc/vm-command ]] || skip "takes kernel modules away: only under make check-kernels"
[[ -w /proc/sys/kernel/modprobe ]] || skip "this kernel loads no modules"

# deny MODULE...: unload them, and let the kernel not find them when it wants them.
loader=$(mktemp /tmp/ctb-modprobe.XXXXXX) # outside of /run, which the kernel's helper does not see
usual=$(</proc/sys/kernel/modprobe)
trap 'status=$?; echo "$usual" >/proc/sys/kernel/modprobe; rm -f "$loader"; lab_on_exit $status' EXIT
# What other scenarios had loaded may hold it.
unload() {
	local holder
	for holder in /sys/module/"$1"/holders/*; do
		[[ ! -e $holder ]] || unload "${holder##*/}"
	done
	modprobe -q -r "$1"
}
deny() {
	local m
	cat >"$loader" <<-EOT
		#!/bin/bash
		for m in \$($usual -q -R "\${!#}"); do
			[[ " $* " != *" \$m "* ]] || exit 1
		done
		exec $usual "\$@"
	EOT
	chmod +x "$loader"
	echo "$loader" >/proc/sys/kernel/modprobe
	for m in "$@"; do
		[[ ! -d /sys/module/$m ]] || poll 20 unload "$m" || die "cannot unload $m"
		[[ ! -d /sys/module/$m ]] || skip "$m is built in"
	done
}
features() { on server "$CTBYPASS" features -j -P $LAB_PIN; }
state() { jq -r --arg n "$1" '.features[] | select(.name == $n) | .state' <<<"$JSON"; }
detail() { jq -r --arg n "$1" '.features[] | select(.name == $n) | .detail' <<<"$JSON"; }

# refused FEATURE MODULE...: by features and by the daemon, which touches nothing.
refused() {
	local feature=$1
	shift
	deny "$@"
	STATUS=0
	JSON=$(features) || STATUS=$?
	eq "exit status without $1" "$STATUS" 1
	has "missing without $1" " $(jq -r '.missing | join(" ")' <<<"$JSON") " " $feature "
	fails timeout $((20 * ${CTB_SLOW:-1})) nsenter --net=/run/netns/server \
		"$CTBYPASS" run -c $LAB_CONF -P $LAB_PIN -S $LAB_SOCK
	has "the daemon's first words" "$(head -n 1 <<<"$OUT")" "missing here, and needed"
	has "the daemon" "$OUT" "error: $feature: "
	[[ ! -e $LAB_PIN/maps && ! -S $LAB_SOCK ]] || die "$feature: something was left"
	say "without $*: $(detail "$feature")"
}

lab_pair
echo 'notrack udp dport 8080' >$LAB_CONF
refused nf-tables nft_fib_inet nft_fib_ipv4 nft_fib_ipv6 nft_fib nft_ct nft_compat nf_tables
refused nft-notrack nft_ct
if have_tcx; then
	deny cls_bpf sch_ingress
	JSON=$(features)
	eq "clsact" "$(state clsact)" no
	eq "tcx" "$(state tcx)" yes
else
	refused clsact cls_bpf sch_ingress
fi

# The addresses of this host are given as a list, which follows it: nft's fib is not needed.
deny nft_fib_inet nft_fib_ipv4 nft_fib_ipv6 nft_fib nf_conntrack_netlink
JSON=$(features)
eq "missing" "$(jq -r '.missing | join(" ")' <<<"$JSON")" ""
eq "ctnetlink" "$(state ctnetlink)" no
eq "nft-maps" "$(state nft-maps)" yes
has "ctnetlink" "$(detail ctnetlink)" nf_conntrack_netlink
echo 'notrack udp dport 8080 daddr local' >$LAB_CONF
on server "$CTBYPASS" check -c $LAB_CONF
watch_states server output "meta l4proto udp"
watch_states client output "meta l4proto udp"
serve echo server udp_echo 8080
daemon_start server
has "status" "$(ctb status)" "no ctnetlink: "
hasnt "our table" "$(on server nft list table inet ctbypass)" "fib "
tool server udp_flows -n 20 10.0.0.1 8080
eq "sent to this host's own address" "$(rule_stat 1 output original packets)" 20
eq "untracked" "$(state_count server output untracked)" 40
lab_addr server s0 10.0.0.9/24
follows() { on server nft list table inet ctbypass | grep -qE '10\.0\.0\.9|10\.0\.0\.8/'; }
poll 10 follows || die "the list does not follow: $(on server nft list table inet ctbypass)"
tool server udp_flows -n 20 10.0.0.9 8080
eq "sent to the new address" "$(rule_stat 1 output original packets)" 40
serve far client udp_echo 8080
tool server udp_flows -n 20 10.0.0.2 8080
eq "sent to another host: no fit" "$(rule_stat 1 output original packets)" 40
daemon_stop
pass
