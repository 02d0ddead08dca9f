#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Rules and sets changed while running do what they say to the very next packets, keep the counters
# of the others, outlive the daemon and end with `reload`.
# run: confined
set -euo pipefail
. "$(dirname "$0")/../../scripts/lab.sh"
lab_enter "$@"

lab_line
watch_states router forward "meta l4proto udp"
serve echo server udp_echo 7000 7001 8080 8081 9000
daemon_conf router <<<'
set ports { 9999 }
set nets { 192.0.2.0/24 }
notrack udp dport 8080
notrack udp dport @ports
notrack udp dport 9000 daddr @nets'
r8080=$(rule_where 8080)

bypassed() { # PORT [ADDRESS]: 1 when a new flow is, 0 when it is tracked
	local before after
	ct_flush router
	before=$(state_count router forward untracked)
	tool client udp_flows -n 3 "${2:-10.2.0.2}" "$1" >/dev/null || die "no echo from $1"
	after=$(state_count router forward untracked)
	case $((after - before))/$(ct_entries router) in
	6/0) echo 1 ;;
	0/3) echo 0 ;;
	*) die "port $1: $((after - before)) untracked, $(ct_entries router) entries" ;;
	esac
}

eq "8080" "$(bypassed 8080)" 1
eq "8081" "$(bypassed 8081)" 0
count=$(rule_all "$r8080")

# add prints the handle, delete takes it.
handle=$(ctb add notrack udp dport 8081)
[[ $handle =~ ^[0-9]+$ ]] || die "add printed: $handle"
eq "8081 added" "$(bypassed 8081)" 1
eq "8081 added, IPv6" "$(bypassed 8081 fd02::2)" 1
eq "counted for the new rule" "$(rule_all "$handle")" 12
ctb delete "$handle"
eq "8081 deleted" "$(bypassed 8081)" 0
fails ctb delete "$handle"
has "delete what is gone" "$OUT" "$handle"
eq "the other rule kept its counter" "$(rule_all "$r8080")" "$count"

# An entry from before the rule must not linger, nor one be missing after it is gone.
tool client udp_flows -n 10 -b 40000 10.2.0.2 7000
eq "entries before the rule" "$(ct_count router -p udp --orig-port-dst 7000)" 10
handle=$(ctb add "notrack udp dport 7000")
swept() { (($(ct_count router -p udp --orig-port-dst 7000) == 0)); }
poll 5 swept || die "entries linger after a rule began to bypass their flows"
eq "7000 added" "$(bypassed 7000)" 1

# Sets.
eq "7001" "$(bypassed 7001)" 0
ctb set add ports 7001 12000-12010
eq "7001 in the set" "$(bypassed 7001)" 1
ctb set delete ports 7001
eq "7001 out of the set" "$(bypassed 7001)" 0
eq "9000" "$(bypassed 9000)" 0
ctb set add nets 10.2.0.0/24 fd02::/64
eq "9000 to a prefix in the set" "$(bypassed 9000)" 1
eq "9000 to an IPv6 prefix in the set" "$(bypassed 9000 fd02::2)" 1
ctb set delete nets fd02::/64
eq "9000 to an IPv6 prefix out of the set" "$(bypassed 9000 fd02::2)" 0
eq "9000 to a prefix still in the set" "$(bypassed 9000)" 1

# What makes no sense changes nothing.
list=$(ctb list)
generation=$(ctb status -j | jq .generation)
for bad in "notrack udp dport" "notrack udp dport 70000" "notrack gre dport 80" "notrack @" \
	"notrack udp dport @nope" "notrack saddr 10.0.0.1 daddr fd00::1" "forward udp dport 70000" \
	"interface eth7" "notrack udp dport 1 } { add rule" "notrack iif r0 udp dport 5"; do
	fails ctb add "$bad"
	ge "an error says something about $bad" ${#OUT} 10
done
fails ctb set add ports 7001-7000
fails ctb set add ports 10.0.0.0/8
fails ctb set add nets 10.0.0.1/8
fails ctb set add nope 1
fails ctb set delete ports 55
eq "list after errors" "$(ctb list)" "$list"
eq "generation after errors" "$(ctb status -j | jq .generation)" "$generation"

# All of it outlives the daemon; the counters too.
count=$(rule_all "$r8080")
handle7000=$handle
n7000=$(rule_all "$handle")
daemon_kill
daemon_start router
eq "list after a restart" "$(ctb list)" "$list"
eq "8080's counter after a restart" "$(rule_all "$r8080")" "$count"
eq "7000's counter after a restart" "$(rule_all "$handle7000")" "$n7000"
eq "7000 after a restart" "$(bypassed 7000)" 1
eq "9000 after a restart" "$(bypassed 9000)" 1

# reload goes back to the file, and the counters of rules that stay stay.
count=$(rule_all "$r8080")
ctb reload
eq "7000 after a reload" "$(bypassed 7000)" 0
eq "9000 after a reload" "$(bypassed 9000)" 0
eq "8080's counter after a reload" "$(rule_all "$(rule_where 8080)")" "$count"
daemon_stop
daemon_start router
eq "7000 after a reload and a restart" "$(bypassed 7000)" 0

# A broken file changes nothing and the message says where.
list=$(ctb list)
printf 'notrack udp dport 7000\n  notrack udp dprt 7001\n' >$LAB_CONF
fails ctb reload
has "where" "$OUT" "ctbypass.conf:2:15"
has "the line itself" "$OUT" "notrack udp dprt 7001"
has "a caret" "$OUT" "^"
eq "list after a broken reload" "$(ctb list)" "$list"
eq "7000 after a broken reload" "$(bypassed 7000)" 0
eq "8080 after a broken reload" "$(bypassed 8080)" 1
rm $LAB_CONF
fails ctb reload
has "the file that is not there" "$OUT" "ctbypass.conf"
eq "8080 after a missing file" "$(bypassed 8080)" 1
# Nor does it start with one, nor take away what works.
daemon_kill
printf 'notrack udp dprt 7001\n' >$LAB_CONF
fails within 10 nsenter --net=/run/netns/router "$CTBYPASS" run -c $LAB_CONF -P $LAB_PIN -S $LAB_SOCK
has "where" "$OUT" "ctbypass.conf:1:13"
eq "8080 with no daemon and a broken file" "$(bypassed 8080)" 1
pass
