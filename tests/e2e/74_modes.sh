#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Mark mode and direct mode judge every packet alike: the same generated packets, received and sent by
# a router, in each of them. Each rule's counters, the reasons, the conntrack states that packets have
# in every hook and the entries that they leave are the same. CTB_SEED repeats a run, CTB_PACKETS sets
# its length.
# The module is the whole machine's, so this runs only in one of its own: make check-kernels.
# run: alone
# run: own hand-over
# timeout: 240
# kernels: few
set -euo pipefail
. "$(dirname "$0")/../../scripts/lab.sh"
lab_enter "$@"
lab_module
[[ -d /sys/module/nf_untrack_bpf ]] || insmod "$KO"
lab_seed
PACKETS=${CTB_PACKETS:-1500}
[[ ${CTB_LONG:-0} == 0 ]] || PACKETS=20000
say "CTB_PACKETS=$PACKETS"

# Hosts that only listen: nobody answers but the router.
lab_host client server
lab_router router
for host in client server; do
	on $host sysctl -qw net.ipv6.conf.{all,default}.disable_ipv6=1
done
lab_cable client c0 router r0
lab_cable router r1 server s0
lab_addr router r0 10.1.0.1/24 fd01::1/64
lab_addr router r1 10.2.0.1/24 fd02::1/64
lab_addr router lo 192.0.2.1/32 2001:db8::1/128
for n in 1 2; do
	dev=r$((n - 1))
	on router ip link set $dev address 02:00:00:00:00:0$n
	for a in 10.$n.0.2 fd0$n::2; do
		on router ip neigh replace $a lladdr 02:00:00:00:01:0$n dev $dev nud permanent
	done
	on router ip route add 10.${n}0.0.0/16 via 10.$n.0.2
	on router ip route add fd${n}0::/16 via fd0$n::2
done
on router sysctl -qw net.ipv4.icmp_ratemask=0 net.ipv6.icmp.ratemask=200
hooks="prerouting input forward output postrouting"
for hook in $hooks; do
	watch_states router $hook
	# What a router says of itself.
	on router nft insert rule inet watch_$hook c ip6 daddr ff00::/8 accept
done
# Entries that are compared must not run out meanwhile.
on router sh -c 'for f in /proc/sys/net/netfilter/nf_conntrack_*timeout*; do echo 600 >$f; done'

cat >$LAB_CONF <<'EOT'
failsafe { tcp 22, udp 500-510 }
set web { 80, 443, 8000-8010 }
set cdn { 10.20.5.0/24, fd20:5::/32, 10.20.6.7, fd20:6::7 }
track udp dport 1500 daddr { 10.20.0.0/16, fd20::/16 }
track icmp saddr 10.10.3.0/24
notrack udp dport 1000-1999
notrack tcp dport @web daddr local
notrack { tcp, udp } port 33333
notrack tcp dport 5000-5999 saddr @cdn
notrack udp dport 2000-2099 daddr local iif r0
notrack udp sport 3000-3099 oneway
notrack udp dport 514 iif r1 oneway
notrack icmp daddr local
notrack icmpv6 saddr { fd10::/16, fd20::/16 } daddr { fd10::/16, fd20::/16 }
notrack gre
notrack { esp, sctp, 33 } saddr @cdn
notrack 99 saddr { 10.10.200.0/24, fd10:200::/32 } daddr { 10.20.200.0/24, fd20:200::/32 }
notrack udplite dport 7000 daddr local oneway
notrack tcp sport 6100 saddr local
track tcp dport 6100
forward tcp dport 6000-6999
notrack udp dport 53 saddr !local
EOT

figures() {
	ctb stats -j | jq -r '((.rules[], (.failsafe + {rule: "failsafe"})) | . as $r |
			to_entries[] | select(.value | type == "object") | .key as $hook | .value | to_entries[] |
			"\($r.rule): \($hook) \(.key): \(.value.packets) packets, \(.value.bytes) bytes"),
		(.reasons[] | "reason \(.name): \(.packets)"),
		(.fallbacks[]? | "fallback \(.name): \(.kernel.packets) \(.to_tc.packets)")'
	on router nft -j list counters | jq -r '.nftables[].counter? | values |
		select(.table | startswith("watch_")) | "\(.table[6:]) \(.name): \(.packets)"'
}
settled() {
	local now
	now=$(figures)
	[[ $now == "$before" ]] && return
	before=$now
	sleep 1
	return 1
}
looked() { [[ $(ct_count router -s 10.1.0.9) == 0 ]]; }
# run_mode MODE: into MODE.figures and MODE.entries
run_mode() {
	local what
	ct_flush router
	on router nft reset counters >/dev/null
	daemon_start router -M "$1"
	# A second after its start it looks for entries of bypassed flows once more. What comes in with an
	# address of the router's own may look like one, and stay or not as it comes before that or behind.
	on router conntrack -I -p udp -s 10.1.0.9 -d 10.2.0.9 --sport 9 --dport 1000 -t 600 >/dev/null 2>&1
	poll 10 looked || true # it has looked before the entry was there
	ct_flush router
	for what in received sent; do
		before=
		tool router modes_corpus $what "$CTB_SEED" "$PACKETS" >>"$1.sent"
		poll 20 settled
	done
	figures >"$1.figures"
	ct_list router | sed -E 's/^([a-z0-9]+ +[0-9]+ )[0-9]+ /\1/; s/ use=[0-9]+.*//' | sort >"$1.entries"
	daemon_stop
	on router "$CTBYPASS" unload -P $LAB_PIN
}
run_mode mark
eq "tables of ours" "$(on router nft list tables | grep -c ctbypass || true)" 0
run_mode direct
for what in sent figures entries; do
	diff mark.$what direct.$what >>differences || true
done
[[ ! -s differences ]] ||
	die "they differ (< mark, > direct), CTB_SEED=$CTB_SEED CTB_PACKETS=$PACKETS: $(head -n 60 differences)"
# It is about something: of every rule, each direction that it has; tracked and untracked in every hook.
grep -vE ' 0( packets.*)?$' direct.figures | sed 's/^/   /'
ge "entries" "$(wc -l <direct.entries)" $((PACKETS / 10))
for hook in $hooks; do
	for state in untracked invalid new; do
		ge "$hook $state" "$(sed -n "s/^$hook $state: //p" direct.figures)" $((PACKETS / 100))
	done
done
# Some are rare.
idle=$(sed -nE 's/^((no)?track|forward)(.*): (receive|output|xdp|tc) [a-z_]*: ([0-9]*) packets.*/\5 \1\3/p' \
	direct.figures | awk '{ n = $1; $1 = ""; got[$0] += n } END { for (r in got) if (!got[r]) print r }')
le "rules that got no packet: ${idle//$'\n'/,}: number" "$(grep -c . <<<"$idle" || true)" 2
pass
