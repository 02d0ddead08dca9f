#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# What operators match on: iptables `-m conntrack --ctstate UNTRACKED` (both iptables) and nft
# `ct state untracked` fit the bypassed packets, all of them and no others.
set -euo pipefail
. "$(dirname "$0")/../../scripts/lab.sh"
lab_enter "$@"

lab_line
serve echo server udp_echo 8080 8081
serve own router udp_echo 8080 8081
variants=
for v in nft legacy; do
	on router iptables-$v -L >/dev/null 2>&1 || continue
	variants+=" $v"
	for ip in iptables ip6tables; do
		for chain in INPUT FORWARD OUTPUT; do
			on router $ip-$v -A $chain -p udp -m conntrack --ctstate UNTRACKED -j ACCEPT
			on router $ip-$v -A $chain -p udp -m conntrack ! --ctstate UNTRACKED -j ACCEPT
		done
	done
done
for chain in input forward output; do
	watch_states router $chain "meta l4proto udp"
done
daemon_conf router <<<'notrack udp dport 8080'

tool client udp_flows -n 100 10.2.0.2 8080
tool client udp_flows -n 100 fd02::2 8080
tool client udp_flows -n 30 10.2.0.2 8081
tool client udp_flows -n 30 fd02::2 8081
tool client udp_flows -n 50 10.1.0.1 8080
tool client udp_flows -n 50 fd01::1 8080
tool client udp_flows -n 20 10.1.0.1 8081
tool client udp_flows -n 20 fd01::1 8081

table_count() { # TOOL CHAIN RULE
	on router "$1" -nvxL "$2" | sed -n "$(($3 + 2))p" | awk '{ print $1 }'
}
for v in $variants; do
	say "iptables-$v"
	for ip in iptables ip6tables; do
		eq "$ip-$v FORWARD UNTRACKED" "$(table_count $ip-"$v" FORWARD 1)" 200
		eq "$ip-$v FORWARD others" "$(table_count $ip-"$v" FORWARD 2)" 60
		eq "$ip-$v INPUT UNTRACKED" "$(table_count $ip-"$v" INPUT 1)" 50
		eq "$ip-$v INPUT others" "$(table_count $ip-"$v" INPUT 2)" 20
		eq "$ip-$v OUTPUT UNTRACKED" "$(table_count $ip-"$v" OUTPUT 1)" 50
		eq "$ip-$v OUTPUT others" "$(table_count $ip-"$v" OUTPUT 2)" 20
	done
done
ne "variants of iptables that work" "$variants" ""
eq "nft forward untracked" "$(state_count router forward untracked)" 400
eq "nft input untracked" "$(state_count router input untracked)" 100
eq "nft output untracked" "$(state_count router output untracked)" 100
eq "nft forward tracked" "$(($(state_count router forward new) + $(state_count router forward established)))" 120
eq "nft output tracked" "$(state_count router output established)" 40
pass
