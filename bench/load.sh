#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# How long a daemon takes to load a million prefixes and how much memory it and its maps hold, and
# how long a reload of a thousand rules takes. In namespaces of its own; touches nothing else.
# usage: load.sh CTBYPASS
set -euo pipefail

ctbypass=$(realpath "${1:?usage: load.sh CTBYPASS}")
if [ "${CTB_BENCH_INNER:-}" != 1 ]; then
	[ "$(id -u)" = 0 ] || { echo "load.sh: needs root" >&2; exit 1; }
	CTB_BENCH_INNER=1 exec unshare --net --mount "$0" "$ctbypass"
fi

dir=$(mktemp -d)
daemon=
trap '[ -z "$daemon" ] || kill "$daemon" 2>/dev/null; wait; umount -l "$dir/bpf"; rm -rf "$dir"' EXIT
mkdir "$dir/bpf"
mount -t bpf bpf "$dir/bpf"
ip link set lo up
ip link add b0 type veth peer name b1
ip link set b0 up
ip link set b1 up
# Conntrack in this namespace, as a stateful ruleset would have it.
nft 'add table inet fw; add chain inet fw in { type filter hook input priority 0; }; add rule inet fw in ct state invalid drop'

ctb() { "$ctbypass" "$@" -S "$dir/sock"; }

start() { # config; prints milliseconds until it answers
	local t0 t1
	t0=$(date +%s%N)
	"$ctbypass" run -c "$1" -P "$dir/bpf/ctb" -S "$dir/sock" 2>"$dir/log" &
	daemon=$!
	until ctb status >/dev/null 2>&1; do
		kill -0 "$daemon" 2>/dev/null || { cat "$dir/log" >&2; exit 1; }
		sleep 0.01
	done
	t1=$(date +%s%N)
	echo $(((t1 - t0) / 1000000)) >"$dir/ms"
}

stop() {
	kill "$daemon"
	wait "$daemon" || true
	daemon=
	"$ctbypass" unload -P "$dir/bpf/ctb"
	rm -f "$dir/sock"
}

map_kib() { # what the pinned maps take, by the kernel's own count
	for m in "$dir"/bpf/ctb/maps/*; do bpftool map show pinned "$m"; done |
		grep -o 'memlock [0-9]*' | awk '{ s += $2 } END { print int(s / 1024) }'
}

prefixes() { # family
	awk -v v6="$1" 'BEGIN { srand(7); for (i = 0; i < 1000000; i++) {
		if (v6) printf "2001:%x:%x::/48\n", rand() * 65536, rand() * 65536;
		else printf "%d.%d.%d.0/24\n", 1 + rand() * 222, rand() * 256, rand() * 256 } }'
}

printf '%-44s %10s %12s %12s\n' "1,000,000 prefixes" "ms" "daemon MB" "maps MB"
for v6 in 0 1; do
	prefixes "$v6" >"$dir/big.prefixes"
	printf 'set big file "big.prefixes"\nnotrack daddr @big saddr !local\n' >"$dir/big.conf"
	start "$dir/big.conf"
	rss=$(awk '/VmHWM/ { print $2 }' "/proc/$daemon/status")
	printf '%-44s %10s %12s %12s\n' "start, IPv$((v6 ? 6 : 4)) (limit 3000 ms, 200 MB in all)" \
		"$(cat "$dir/ms")" $((rss / 1024)) $(($(map_kib) / 1024))
	stop
done

rules() { # offset
	for i in $(seq 1000); do
		case $((i % 3)) in
		0) echo "notrack udp dport $((2000 + i + $1))" ;;
		1) echo "notrack tcp dport $((4000 + i + $1)) daddr local" ;;
		2) echo "notrack { tcp, udp } dport $((6000 + i + $1)) daddr 10.$((i / 250)).$((i % 250)).0/24" ;;
		esac
	done
}
rules 0 >"$dir/many.conf"
start "$dir/many.conf"
printf '\n%-44s %10s\n' "1,000 rules" "ms"
printf '%-44s %10s\n' "start" "$(cat "$dir/ms")"
reload() { # WHAT
	local t0 t1
	t0=$(date +%s%N)
	ctb reload >/dev/null
	t1=$(date +%s%N)
	printf '%-44s %10s\n' "$1" $(((t1 - t0) / 1000000))
}
for round in 1 2 3 4; do
	sleep 2 # a second after a change the daemon still tidies up after it
	rules $((round * 10000)) >"$dir/many.conf"
	reload "reload, every rule new (limit 300 ms)"
done
rules 0 >"$dir/many.conf"
reload "the same at once, behind the tidying"
sleep 2
echo "notrack udp dport 53" >>"$dir/many.conf"
reload "reload, one rule new"
stop
