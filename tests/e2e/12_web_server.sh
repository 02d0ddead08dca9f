#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# A web server on every address of the host, also one added while running: 100 MB arrive intact
# under `invalid drop` without one entry, 443 stays tracked. NOTRACK does not break TCP; a one-sided
# NOTRACK does: the same rule with `oneway` fails.
set -euo pipefail
. "$(dirname "$0")/../../scripts/lab.sh"
lab_enter "$@"

LAB_OFFLOAD=1 # large segments, as on real machines
lab_pair
on server nft -f - <<'EOT'
table inet fw {
	chain input {
		type filter hook input priority filter; policy drop;
		ct state established,related accept
		ct state invalid counter drop
		tcp dport { 80, 443 } accept
		udp dport 8080 accept
		icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
	}
	chain output {
		type filter hook output priority filter; policy accept;
		ct state invalid counter drop
	}
}
EOT
watch_states server input "tcp dport 80"
watch_states server output "tcp sport 80"
head -c 100000000 /dev/urandom >body
serve web server tcp_server -f body 80 443
daemon_conf server <<<'notrack tcp dport 80 daddr local'
rule=$(rule_where "tcp dport 80")

fetch() { # ADDRESS PORT SECONDS
	on client timeout $(($3 * ${CTB_SLOW:-1})) \
		socat -u "TCP:$1:$2,connect-timeout=${CTB_SLOW:-1}" - | cmp -s - body
}
entries80() { ct_count server -p tcp --orig-port-dst 80; }

fetch 10.0.0.1 80 20 || die "the body is damaged over IPv4"
fetch '[fd00::1]' 80 20 || die "the body is damaged over IPv6"
ge "bytes out by the rule" "$(rule_stat "$rule" output reply bytes)" 200000000

# Added while running.
lab_addr server s0 10.0.0.77/24 fd00::77/64
before=$(rule_stat "$rule" output reply bytes)
sleep 0.5
fetch 10.0.0.77 80 20 || die "the body is damaged on an added IPv4 address"
fetch '[fd00::77]' 80 20 || die "the body is damaged on an added IPv6 address"
ge "bytes out from the added addresses" "$(rule_stat "$rule" output reply bytes)" $((before + 200000000))
eq "entries" "$(ct_entries server)" 0
for state in new established invalid related; do
	eq "INPUT $state" "$(state_count server input $state)" 0
	eq "OUTPUT $state" "$(state_count server output $state)" 0
done
ge "INPUT untracked" "$(state_count server input untracked)" 100

# The near miss.
fetch 10.0.0.1 443 20 || die "the body is damaged on 443"
fetch '[fd00::1]' 443 20 || die "the body is damaged on 443 over IPv6"
eq "entries on 443" "$(ct_count server -p tcp --orig-port-dst 443)" 2
eq "entries on 80" "$(entries80)" 0

# One side only: the request passes unseen, the SYN-ACK is INVALID and dies, as the rule asks for.
cat >ctbypass.conf <<<'notrack tcp dport 80 daddr local oneway
notrack udp dport 8080 daddr local oneway'
ctb reload
invalid=$(state_count server output invalid)
if fetch 10.0.0.1 80 2; then
	die "oneway works under invalid drop: then the rule was not one-sided"
fi
ge "OUTPUT invalid with oneway" "$(state_count server output invalid)" $((invalid + 1))
eq "entries on 80 with oneway" "$(entries80)" 0
# And for UDP, every reply makes an entry, the wrong way round.
serve echo server udp_echo 8080
tool client udp_flows -n 20 10.0.0.1 8080
eq "entries of replies with oneway" "$(ct_count server -p udp --orig-port-src 8080)" 20
# Both sides again.
cat >ctbypass.conf <<<'notrack tcp dport 80 daddr local'
ctb reload
fetch 10.0.0.1 80 20 || die "the body is damaged after going back"
eq "entries on 80 after going back" "$(entries80)" 0
pass
