# SPDX-License-Identifier: GPL-2.0-only
# Sourced by scenarios that change something under load: lib/load.py at the client, echo servers at
# server and router, all by two rules (udp dport 8080, tcp dport 80), and a reader of the statistics
# that sees whether a counter goes back.

load_servers() {
	local h fam route
	# A tail loss probe is a retransmission without a loss, and so is what a machine resends that
	# stood still for 200 ms.
	for h in client router server; do
		on $h sysctl -qw net.ipv4.tcp_early_retrans=0
		for fam in -4 -6; do
			while read -r route; do
				# shellcheck disable=SC2086 # words
				on $h ip $fam route change $route rto_min 10s
			done < <(on $h ip $fam route show | grep -v '^fe80:')
		done
	done
	serve s_udp server udp_echo 8080
	serve s_tcp server tcp_server 80
	serve r_udp router udp_echo 8080
	serve r_tcp router tcp_server 80
}

load_start() { # RATE: exchanges a second at most
	background watch router $PYTHON "$LAB_LIB/monotone.py" $LAB_SOCK "$1" "notrack udp dport 8080" \
		"notrack tcp dport 80"
	serve load client load "$1" 8080 80 10.2.0.2 fd02::2 10.1.0.1 fd01::1
}

# The load's last words, and whether all datagrams came back ($n of them) and conntrack saw nothing of
# it. $judged: how many packets nft has seen untracked.
load_untracked() {
	local got hook state
	background_stop load
	out=$(tail -n 1 load.log)
	say "$out"
	read -r _ _ n _ got _ <<<"$out"
	eq "datagrams that came back" "$got" "$n"
	for hook in forward input output; do
		for state in new established invalid related; do
			eq "$hook $state" "$(state_count router $hook $state)" 0
		done
	done
	eq "entries" "$(ct_entries router)" 0
	judged=$(($(state_count router input untracked) + $(state_count router forward untracked) +
		$(state_count router output untracked)))
}

# Nothing was lost, resent, tracked, or not counted by the rules with these handles.
load_end() { # READS at least, DATAGRAMS at least, HANDLE...
	local reads=$1 datagrams=$2 out n judged sum=0 h
	shift 2
	background_stop watch
	out=$(<watch.log)
	ge "reads of the statistics" "${out##*reads }" "$reads"
	hasnt "counters" "$out" "went from"
	hasnt "rules" "$out" "no rule"
	load_untracked
	has "load" "$out" "retransmitted 0"
	ge "datagrams" "$n" "$datagrams"
	for h; do
		sum=$((sum + $(rule_all "$h")))
	done
	eq "packets counted by the rules" "$sum" "$judged"
}
