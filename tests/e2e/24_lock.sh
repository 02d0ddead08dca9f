#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# One daemon in a network namespace, whatever its pins; and no unprivileged user has a say in it, by
# holding the lock's name, by filling its queue, or by being root in a user namespace.
# timeout: 180
set -euo pipefail
. "$(dirname "$0")/../../scripts/lab.sh"
lab_enter "$@"

lab_pair
serve echo server udp_echo 8080
echo 'notrack udp dport 8080 daddr local' >$LAB_CONF
chmod 755 /run $LAB
cp "$LAB_LIB/squat.py" $LAB && chmod 644 $LAB/squat.py

# nobody WHAT: holds names in the server's namespace, without any privilege.
nobody() {
	background squat server setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all \
		--bounding-set=-all "${@:2}" $PYTHON $LAB/squat.py "$1"
	poll 10 grep -q ready squat.log || die "squat.py $1: $(<squat.log)"
}
bypassed() {
	ct_flush server
	tool client udp_flows -n 3 10.0.0.1 8080 >/dev/null
	eq "$1: entries" "$(ct_entries server)" 0
}
second() { # WHAT: another daemon, with pins and socket of its own, is refused
	fails within 20 nsenter --net=/run/netns/server "$CTBYPASS" run -c $LAB_CONF -P $LAB_BPF/other -S $LAB/other.sock
	has "$1: a second daemon" "$OUT" "another ctbypass daemon"
	fails on server "$CTBYPASS" unload -P $LAB_BPF/other
	has "$1: unload" "$OUT" "daemon"
	bypassed "$1, after a second daemon"
}

for way in full names accepted; do
	nobody $way
	daemon_start server
	second "with $way"
	if [[ $way == full ]]; then
		daemon_kill
		daemon_start server # nothing is left of the one that was killed
	fi
	background_stop squat
	second "once $way went" # the lock is not at the usual name then
	daemon_stop
done
if unshare --user true 2>/dev/null; then
	nobody full unshare --user --map-root-user
	daemon_start server
	second "with root of a user namespace"
	daemon_stop
	background_stop squat
fi

# Who connects to the daemon's own makes it no less its.
daemon_start server
nobody fill
second "with a full queue"
daemon_stop
background_stop squat

# In another network namespace: another lock.
daemon_start server
lab_host elsewhere
nsenter --net=/run/netns/elsewhere "$CTBYPASS" run -c $LAB_CONF -P $LAB_BPF/other -S $LAB/other.sock >$LAB/other.log 2>&1 &
poll 20 "$CTBYPASS" status -S $LAB/other.sock >/dev/null 2>&1 || die "not in another namespace: $(<$LAB/other.log)"
kill %% && wait %%
daemon_stop

# Of two that start at the same time over a taken name, never both.
nobody full
pids=()
for n in 1 2; do
	nsenter --net=/run/netns/server "$CTBYPASS" run -c $LAB_CONF -P $LAB_BPF/at$n -S $LAB/at$n.sock >$LAB/at$n.log 2>&1 &
	pids+=($!)
done
up=0
for n in 1 2; do
	poll 20 grep -qE "generation|another ctbypass" $LAB/at$n.log || die "neither: $(<$LAB/at$n.log)"
	! grep -q generation $LAB/at$n.log || up=$((up + 1))
done
le "daemons that run" $up 1
kill "${pids[@]}" 2>/dev/null || true
pass
