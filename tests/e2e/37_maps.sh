#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# `bpftool map dump pinned` of every map says what things are called: BTF is there for key and value.
# timeout: 120
set -euo pipefail
. "$(dirname "$0")/../../scripts/lab.sh"
lab_enter "$@"

lab_line
serve echo server udp_echo 8080
daemon_conf router <<<'
set nets { 10.0.0.0/8, fd00::/8, 192.0.2.1 }
track udp dport 5060
notrack udp dport 8080 saddr @nets
forward udp dport 7000 daddr !local saddr !local
notrack udp dport 9000 iif r0 oneway'
tool client udp_flows -n 10 10.2.0.2 8080

n=0
for map in "$LAB_PIN"/maps/*; do
	name=${map##*/}
	info=$(bpftool -j map show pinned "$map")
	# The kernel takes no BTF with a devmap (map_check_btf), so libbpf does not offer it.
	[[ $name == egress ]] || ne "BTF of $name" "$(jq '.btf_id // 0' <<<"$info")" 0
	((${#name} <= 15)) || die "the name of $name does not fit"
	bpftool -j map dump pinned "$map" >"$LAB/dumped" || die "bpftool cannot read $name"
	jq -e . "$LAB/dumped" >/dev/null || die "$name is not JSON"
	n=$((n + 1))
done
ge "maps" $n 8
# A person finds the rule and its counter.
bpftool map dump pinned "$LAB_PIN"/maps/rule_info >info
grep -q '"text": "notrack udp dport 8080' info || die "no rule text in rule_info: $(head -c 500 info)"
bpftool map dump pinned "$LAB_PIN"/maps/rules >rules
grep -q '"packets": [1-9]' rules || die "no packets in rules"
bpftool map dump pinned "$LAB_PIN"/maps/entries >entries
grep -q '"action"' entries || die "entries have no names"
bpftool map dump pinned "$LAB_PIN"/maps/netdevs >netdevs
grep -q '"mac"' netdevs || die "netdevs have no names"
for link in "$LAB_PIN"/links/*; do
	[[ -e $link ]] || continue # clsact: no links
	bpftool link show pinned "$link" >/dev/null
done
pass
