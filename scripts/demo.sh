#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# scripts/demo.sh [CTBYPASS]: the same real traffic through the same firewall, without and with
# ctbypass, side by side. Everything happens in namespaces of its own; the host is not touched.
# Exit status 0 only when every claim in the table was measured to be true.
set -euo pipefail
[[ -z ${1:-} ]] || CTBYPASS=$(realpath "$1")
. "$(dirname "$0")/lab.sh"
lab_enter "$@"
began=$SECONDS

FLOWS=1000 # per family
CONNECTIONS=100

read -rd '' config <<'EOT' || true
set web { 80, 8000-8079 }

notrack udp dport 8080 comment "a UDP service behind this router"
notrack tcp dport @web comment "a web site behind this router"
EOT
read -rd '' firewall <<'EOT' || true
table inet fw {
	chain forward {
		type filter hook forward priority filter; policy drop;
		ct state established,related accept
		ct state invalid drop
		udp dport 8080 accept
		tcp dport { 80, 443 } accept
		ct state untracked udp sport 8080 accept
		ct state untracked tcp sport 80 accept
	}
}
EOT

lab_line
head -c 20000000 /dev/urandom >body
serve udp server udp_echo 8080
serve tcp server tcp_server 80 443
serve files server tcp_server -f body 8000
on router nft -f - <<<"$firewall"
on router nft add rule inet fw forward tcp dport 8000 accept
on router nft add rule inet fw forward ct state untracked tcp sport 8000 accept

declare -A m # what was measured: m[without|with,WHAT]

drops() { on router conntrack -S | grep -o ' drop=[0-9]*' | awk -F= '{ n += $2 } END { print n + 0 }'; }
count_of() { # TEXT WORD: the number behind WORD
	local t=" $1 "
	t=${t#* "$2" }
	echo "${t%% *}"
}
udp() { # ADDRESS: how many of FLOWS exchanges came back
	count_of "$(tool client udp_flows -n $FLOWS -w 500 -t 0.7 "$1" 8080)" got
}
tcp() { # ADDRESS PORT
	count_of "$(tool client tcp_flows -n $CONNECTIONS -t 0.5 "$1" "$2")" echoed
}
download() { # ADDRESS
	if on client timeout 10 socat -u "TCP:$1:8000,connect-timeout=1" - | cmp -s - body; then
		echo intact
	else
		echo broken
	fi
}

measure() { # without|with
	local w=$1 refused
	echo "measuring $w ctbypass ..." >&2
	ct_flush router
	m[$w,udp4]=$(udp 10.2.0.2 || true)
	m[$w,udp6]=$(udp fd02::2 || true)
	m[$w,udp_entries]=$(ct_count router -p udp --orig-port-dst 8080)
	m[$w,tcp4]=$(tcp 10.2.0.2 80 || true)
	m[$w,tcp6]=$(tcp fd02::2 80 || true)
	m[$w,tcp_entries]=$(ct_count router -p tcp --orig-port-dst 80)
	m[$w,file4]=$(download 10.2.0.2)
	m[$w,file6]=$(download '[fd02::2]')
	m[$w,tls]=$(tcp 10.2.0.2 443 || true)
	m[$w,tls_entries]=$(ct_count router -p tcp --orig-port-dst 443)

	echo "filling the router's conntrack table ..." >&2
	ct_flush router
	fill_conntrack router 0
	refused=$(drops)
	m[$w,full_udp4]=$(udp 10.2.0.2 || true)
	m[$w,full_udp6]=$(udp fd02::2 || true)
	m[$w,full_tcp4]=$(tcp 10.2.0.2 80 || true)
	m[$w,full_tcp6]=$(tcp fd02::2 80 || true)
	m[$w,full_refused]=$(($(drops) - refused))
	ct_flush router
}

failures=0
row() { # WHAT KEY WANTED-WITHOUT WANTED-WITH: wanted: a number, a word, or >N
	local verdict=ok w got want
	for w in without with; do
		got=${m[$w,$2]}
		want=$3
		[[ $w == without ]] || want=$4
		case $want in
		'>'*) [[ $got =~ ^[0-9]+$ ]] && ((got > ${want#>})) || verdict=WRONG ;;
		*) [[ $got == "$want" ]] || verdict=WRONG ;;
		esac
	done
	[[ $verdict == ok ]] || failures=$((failures + 1))
	printf '  %-46s %10s %10s   %s\n' "$1" "${m[without,$2]}" "${m[with,$2]}" "$verdict"
}

measure without
daemon_conf router <<<"$config"
measure with

rules=$(ctb stats -j)
packets() { jq --arg t "$1" '[.rules[] | select(.rule | contains($t)) | .receive[], .output[] | .packets] | add // 0' <<<"$rules"; }
m[without,packets_udp]=- m[with,packets_udp]=$(packets "udp dport 8080")
m[without,packets_tcp]=- m[with,packets_tcp]=$(packets "tcp dport @web")

echo
echo "client -- router -- server, IPv4 and IPv6; the router's firewall is stateful, policy drop."
printf '  %-46s %10s %10s\n' "" without with
row "UDP 8080, $FLOWS flows, answered, IPv4" udp4 $FLOWS $FLOWS
row "UDP 8080, $FLOWS flows, answered, IPv6" udp6 $FLOWS $FLOWS
row "    conntrack entries they left" udp_entries $((2 * FLOWS)) 0
row "TCP 80, $CONNECTIONS connections, answered, IPv4" tcp4 $CONNECTIONS $CONNECTIONS
row "TCP 80, $CONNECTIONS connections, answered, IPv6" tcp6 $CONNECTIONS $CONNECTIONS
row "    conntrack entries they left" tcp_entries $((2 * CONNECTIONS)) 0
row "20 MB over TCP 8000, IPv4" file4 intact intact
row "20 MB over TCP 8000, IPv6" file6 intact intact
row "TCP 443, $CONNECTIONS connections (no rule: tracked)" tls $CONNECTIONS $CONNECTIONS
row "    conntrack entries they left" tls_entries $CONNECTIONS $CONNECTIONS
echo "  the conntrack table is full ($(cat /proc/sys/net/netfilter/nf_conntrack_max) entries):"
row "UDP 8080, $FLOWS flows, answered, IPv4" full_udp4 0 $FLOWS
row "UDP 8080, $FLOWS flows, answered, IPv6" full_udp6 0 $FLOWS
row "TCP 80, $CONNECTIONS connections, answered, IPv4" full_tcp4 0 $CONNECTIONS
row "TCP 80, $CONNECTIONS connections, answered, IPv6" full_tcp6 0 $CONNECTIONS
row "    packets that conntrack refused" full_refused ">$((2 * FLOWS))" 0
echo "  packets that each rule let by:"
row "notrack udp dport 8080" packets_udp - $((8 * FLOWS))
row "notrack tcp dport @web" packets_tcp - ">$((8 * CONNECTIONS))"
echo
ctb stats
echo

daemon_stop
on router "$CTBYPASS" unload -P $LAB_PIN
if ((failures)); then
	echo "$failures of these claims do not hold here"
	exit 1
fi
echo "every line holds; $((SECONDS - began)) s. Nothing was left behind: the lab is gone."
