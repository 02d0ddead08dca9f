#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# A gateway with FORWARD policy drop and a full conntrack table: bypassed flows lose nothing while
# new tracked ones are refused. The table is full of real entries; the kernel's global maximum is
# not touched.
set -euo pipefail
. "$(dirname "$0")/../../scripts/lab.sh"
lab_enter "$@"

lab_line
on router nft -f - <<'EOT'
table inet fw {
	chain forward {
		type filter hook forward priority filter; policy drop;
		ct state established,related accept
		ct state invalid drop
		udp dport { 8080, 8081 } accept
		tcp dport { 80, 81 } accept
		ct state untracked udp sport 8080 accept
		ct state untracked tcp sport 80 accept
	}
}
EOT
serve udp server udp_echo 8080 8081
serve tcp server tcp_server 80 81
daemon_conf router <<<'
notrack udp dport 8080
notrack tcp dport 80'
udp_rule=$(rule_where 8080)

tool client udp_flows -n 5 10.2.0.2 8081 # the tracked port does work
fill_conntrack router 0
drops() { on router conntrack -S | grep -o ' drop=[0-9]*' | cut -d= -f2 | awk "{ n += \$1 } END { print n + 0 }"; }
refused=$(drops)

out=$(tool client udp_flows -n 1000 -k 2 10.2.0.2 8080)
eq "bypassed flows through a full table" "$out" "sent 2000 got 2000"
out=$(tool client udp_flows -n 1000 -k 2 fd02::2 8080)
eq "bypassed IPv6 flows through a full table" "$out" "sent 2000 got 2000"
tool client tcp_flows -n 200 -k 2 10.2.0.2 80
eq "the rule" "$(rule_all "$udp_rule")" 8000
eq "refused by the table meanwhile" "$(drops)" "$refused"

fails tool client udp_flows -n 100 -t 0.5 10.2.0.2 8081
has "tracked flows through a full table" "$OUT" "sent 100 got 0"
fails tool client tcp_flows -n 5 -t 0.5 10.2.0.2 81
has "tracked connections through a full table" "$OUT" "opened 0"
ge "refused by the table" "$(drops)" $((refused + 105))
has "status warns" "$(ctb status)" "full"
pass
