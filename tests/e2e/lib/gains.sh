# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# For scenarios on devices made of other devices: what counters gained by a command. Sourced after
# lab.sh; the daemon runs on host router, and `watch_states router forward` has been said.

# Packets that can be judged by ports, and those that cannot, as filters of tcpdump. With them a
# capture's number is what the program must have counted. (To tcpdump, `udp` is also a later fragment.)
# shellcheck disable=SC2034 # for whoever sources this
FIRST="((ip[6:2] & 0x1fff = 0 and (udp or tcp)) or
	(ip6 and (ip6[6] = 17 or ip6[6] = 6)) or (ip6 proto 44 and ip6[42:2] & 0xfff8 = 0))"
# shellcheck disable=SC2034
LATER="((ip and ip[6:2] & 0x1fff != 0) or (ip6 proto 44 and ip6[42:2] & 0xfff8 != 0))"

# Entries that are to be counted must not run out meanwhile, on however slow a machine.
long_entries() {
	on router sysctl -qw net.netfilter.nf_conntrack_{udp_timeout,udp_timeout_stream,icmp_timeout}=600 \
		net.netfilter.nf_conntrack_tcp_timeout_{time_wait,close,fin_wait,last_ack}=600
}

counters() { # before|after
	ctb stats -j >"$LAB/stats.$1"
	on router nft -j list counters table inet watch_forward >"$LAB/states.$1"
	on router ip -j -s link >"$LAB/links.$1"
}

# gains: into GAIN, by name, what was counted between `counters before` and `counters after`:
#   receive, output, xdp, tc   packets of all rules; "receive RULE" of one
#   judged                     what tc or XDP saw, by rule or by reason
#   reason NAME, kernel NAME, to_tc NAME (fallbacks)
#   untracked, invalid, tracked (all that have or make an entry), in FORWARD
#   rx DEVICE, tx DEVICE       the device's own count
declare -A GAIN=()
gains() {
	local key n
	GAIN=()
	while IFS=$'\t' read -r n key; do
		GAIN[$key]=$((${GAIN[$key]:-0} + n))
	done < <(jq -nr --slurpfile sb $LAB/stats.before --slurpfile sa $LAB/stats.after \
		--slurpfile fb $LAB/states.before --slurpfile fa $LAB/states.after \
		--slurpfile lb $LAB/links.before --slurpfile la $LAB/links.after '
		def all(f): [f | .packets] | add;
		def stats:
			(.rules[] | . as $r | "receive", "output", "xdp", "tc" | . as $hook | $r[.] | values |
				[all(.[])] + (["\($hook) \($r.rule)"], [$hook])),
			[all((.rules[], .failsafe).receive[]) + all(.reasons[]), "judged"],
			(.reasons[] | [.packets, "reason \(.name)"]),
			(.fallbacks[]? | [.kernel.packets, "kernel \(.name)"], [.to_tc.packets, "to_tc \(.name)"]);
		def states: .nftables[].counter? | values |
			[.packets, (.name | if . == "untracked" or . == "invalid" then . else "tracked" end)];
		def links: .[] | [.stats64.rx.packets, "rx \(.ifname)"], [.stats64.tx.packets, "tx \(.ifname)"];
		(($sa[] | stats), ($fa[] | states), ($la[] | links)),
		(($sb[] | stats), ($fb[] | states), ($lb[] | links) | [-.[0], .[1]]) | @tsv')
}

# around COMMAND...: its output is in $OUT, its gains in GAIN.
around() {
	counters before
	OUT=$("$@" 2>&1) || die "$*: $OUT"
	counters after
	gains
}
