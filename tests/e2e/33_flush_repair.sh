#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# `nft flush ruleset` by the operator is noticed and repaired, with a warning; the saved ruleset
# loads again elsewhere.
# run: confined
# timeout: 180
set -euo pipefail
. "$(dirname "$0")/../../scripts/lab.sh"
lab_enter "$@"

lab_pair
serve echo server udp_echo 8080 8081 53
daemon_conf server <<<'
set cdn { 192.0.2.0/24, 198.51.100.7, 2001:db8::/32 }
set web { 80, 443, 8000-8010 }
track udp dport 8081
notrack udp dport 8080 comment "what an operator wrote"
notrack tcp dport @web daddr local
notrack { tcp, udp } port 33333 saddr @cdn
notrack icmp
notrack gre saddr !local
notrack udp dport 53 saddr 10.0.0.0/8 daddr local oneway'
watch_states server output "meta l4proto udp"
bypassed() {
	local before
	ct_flush server
	before=$(state_count server output untracked)
	tool client udp_flows -n 5 10.0.0.1 8080 >/dev/null || return 1
	(($(state_count server output untracked) == before + 5 && $(ct_entries server) == 0))
}
bypassed || die "not bypassed at first"
eq "repairs after a start" "$(ctb status -j | jq -c '.nft | [.restored, .repaired]')" "[0,0]"

# What `nft list ruleset` prints can be loaded: as a whole in another host, and says the same again.
on server nft list ruleset >saved
lab_host scratch
on scratch nft -f saved || die "nft cannot read what nft printed"
strip() { sed 's/packets [0-9]* bytes [0-9]*//' "$@"; }
eq "ruleset saved, loaded and listed again" "$(on scratch nft list ruleset | strip)" "$(strip saved)"
on server nft -s list ruleset >stateless
on scratch nft flush ruleset
on scratch nft -f stateless || die "nft cannot read what nft -s printed"

# In direct mode nothing of ours is in nft, and nobody can take it away.
if direct_out; then
	hasnt "ruleset" "$(<saved)" ctbypass
	before=$(ctb status -j | jq .generation)
	on server nft flush ruleset
	watch_states server output "meta l4proto udp"
	bypassed || die "not bypassed after nft flush ruleset"
	eq "generation" "$(ctb status -j | jq .generation)" "$before"
	eq "warnings" "$(ctb status -j | jq -c .warnings)" "[]"
	hasnt "tables" "$(on server nft list tables)" ctbypass
	pass
	exit
fi

# An operator's habit.
warnings() { ctb status -j | jq '.warnings | length'; }
before=$(warnings)
on server nft flush ruleset
table_is_back() { on server nft list table inet ctbypass >/dev/null 2>&1; }
poll 5 table_is_back || die "the table stays away after nft flush ruleset"
watch_states server output "meta l4proto udp"
poll 5 bypassed || die "not bypassed after a repair"
ge "warnings" "$(warnings)" $((before + 1))
has "status" "$(ctb status)" "table"

# Only ours, deleted alone; and part of it.
on server nft delete table inet ctbypass
poll 5 table_is_back || die "the table stays away after nft delete table"
poll 5 bypassed || die "not bypassed after a second repair"
chain=$(on server nft -j list table inet ctbypass |
	jq -r '[.nftables[].chain? | select(. != null and .hook == "output") | .name][0]')
on server nft flush chain inet ctbypass "$chain"
poll 5 bypassed || die "not repaired after our output chain was flushed"

# Saved by the operator and loaded at boot before us: our own old table is adopted or replaced.
daemon_stop
on server nft list ruleset >saved
on server "$CTBYPASS" unload -P $LAB_PIN
(echo "flush ruleset"; cat saved) | on server nft -f -
daemon_start server
poll 5 bypassed || die "not bypassed over a table from the operator's file"
eq "tables of ours" "$(on server nft list tables | grep -c ctbypass)" 1

# While we load many prefixes nobody listens, or the kernel would keep 8 KB for each: the daemon
# least of all, whose socket would overflow. Afterwards it hears what others do.
overflows() { on server awk '$2 == 12 { n += $9 } END { print n + 0 }' /proc/self/net/netlink; }
before=$(overflows)
seq 2 2 40000 | awk '{ printf "172.%d.%d.%d\n", 16 + $1 / 65536, $1 / 256 % 256, $1 % 256 }' >many
echo 'set many file "many"
notrack udp dport 8080 daddr local
notrack udp dport 4000 saddr @many' >$LAB_CONF
ctb reload
ge "elements" "$(on server nft list table inet ctbypass | grep -o '172\.' | wc -l)" 20000
eq "messages that were lost" $(($(overflows) - before)) 0
on server nft flush ruleset
poll 10 table_is_back || die "the table stays away after nft flush ruleset"
watch_states server output "meta l4proto udp"
poll 5 bypassed || die "not bypassed after a large table was put back"
pass
