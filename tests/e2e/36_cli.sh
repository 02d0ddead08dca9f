#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# The command line: exit statuses, help, JSON, check, list as a configuration, stats -w, readiness.
set -euo pipefail
. "$(dirname "$0")/../../scripts/lab.sh"
lab_enter "$@"

status_of() { # COMMAND...
	local status=0
	"$@" >out 2>&1 </dev/null || status=$?
	echo $status
}
lab_pair
watch_states server input "meta l4proto udp"
serve echo server udp_echo 8080

# Usage: 2, and it says so; never a guess.
for args in "" "nonsense" "sta" "run extra" "status extra" "delete" "delete x" "delete -1" "set" \
	"set add" "set frob a 1" "add" "stats -z" "check -c" "status -S" "unload extra" "reload now"; do
	# shellcheck disable=SC2086 # split on purpose
	eq "exit status of: ctbypass $args" "$(status_of "$CTBYPASS" $args)" 2
	[[ -s out ]] || die "no message from: ctbypass $args"
done
eq "help" "$(status_of "$CTBYPASS" --help)" 0
for cmd in run check add delete list reload set stats status unload; do
	has "help" "$(<out)" "$cmd"
done
eq "version" "$(status_of "$CTBYPASS" --version)" 0

# check changes nothing, and needs no daemon.
cat >$LAB_CONF <<'EOT'
interface s0 "eth*"
mark 0x80
failsafe { tcp 22, udp 500-510 }
set cdn { 192.0.2.0/24, 2001:db8::/32 }
set big file "big.prefixes"
set web { 80, 443, 8000-8079, 8082-9000 }
track   udp dport 5060 # exception
notrack udp dport 8080
notrack tcp dport @web daddr local
notrack { tcp, udp } port 33333
notrack udp dport 53 saddr local comment "resolver"
notrack daddr !local saddr !local comment "transit"
notrack 47 saddr @cdn
notrack saddr @big oneway
notrack udp sport { 1, 2-5, @web } iif s0 oneway
notrack icmpv6
EOT
printf '198.18.%d.0/24\n' {0..255} >big.prefixes
on server nft list ruleset >before
on server bpftool -j net list >>before 2>/dev/null || true
eq "check" "$(status_of on server "$CTBYPASS" check -c $LAB_CONF)" 0
on server nft list ruleset >after
on server bpftool -j net list >>after 2>/dev/null || true
cmp before after || die "check changed something"
[[ ! -e $LAB_PIN && ! -e $LAB_SOCK ]] || die "check left something"
printf 'notrack gre dport 80\nnotrack udp dport @nope\n' >bad.conf
eq "check of a bad file" "$(status_of on server "$CTBYPASS" check -c bad.conf)" 1
has "first error" "$(<out)" "bad.conf:1:"
has "second error" "$(<out)" "bad.conf:2:"
printf 'forward daddr 192.0.2.0/24\n' >fwd.conf
eq "check of a forward rule" "$(status_of on server "$CTBYPASS" check -c fwd.conf)" 0
has "check of a forward rule" "$(<out)" "netfilter rules that it misses"
eq "check of a missing file" "$(status_of on server "$CTBYPASS" check -c nowhere.conf)" 1
has "missing file" "$(<out)" "nowhere.conf"
printf 'notrack udp dport 1-100\nnotrack udp dport 50\n' >covered.conf
eq "check of a covered rule" "$(status_of on server "$CTBYPASS" check -c covered.conf)" 0
has "a covered rule" "$(<out)" "covered.conf:2:"

# Readiness through the notify protocol, once it works and not before.
socat -u UNIX-RECVFROM:$LAB/notify,fork OPEN:$LAB/notified,creat,append &
poll 5 test -S $LAB/notify
NOTIFY_SOCKET=$LAB/notify daemon_start server
[[ -n ${CTB_CONFINE:-} ]] || # then systemd hears it
	poll 5 grep -q READY=1 notified || die "no READY=1"

# list is valid input and gives the same list again.
ctb list >listed
head -n 3 listed
cp listed $LAB_CONF
eq "check of list's output" "$(status_of on server "$CTBYPASS" check -c $LAB_CONF)" 0
ctb reload
ctb list >again
cmp listed again || die "list, loaded, lists otherwise: $(diff listed again)"

# Everything with -j is JSON, and agrees with itself.
for cmd in list status stats; do
	ctb $cmd -j | jq -e . >/dev/null || die "$cmd -j is not JSON"
	[[ -n $(ctb $cmd) ]] || die "$cmd prints nothing"
done
eq "rules in list -j" "$(ctb list -j | jq '.rules | length')" 10
eq "rules in stats -j" "$(ctb stats -j | jq '[.rules[] | select(.handle > 0)] | length')" 10
ctb add -j notrack udp dport 4444 | jq -e '.handle' >/dev/null || die "add -j"
on server "$CTBYPASS" check -j -c $LAB_CONF | jq -e . >/dev/null || die "check -j"
eq "check -j of a bad file" "$(status_of on server "$CTBYPASS" check -j -c bad.conf)" 1
jq -e . out >/dev/null || die "check -j of a bad file is not JSON: $(<out)"
has "status" "$(ctb status)" "s0"
eq "entries in status" "$(ctb status -j | jq '.conntrack.count')" "$(ct_entries server)"
eq "maximum in status" "$(ctb status -j | jq '.conntrack.max')" \
	"$(cat /proc/sys/net/netfilter/nf_conntrack_max)"

# stats -w goes on until it is told to stop, with rates.
tool client udp_flows -n 100 10.0.0.1 8080
background watching server "$CTBYPASS" stats -w -S $LAB_SOCK
turns() { (($(grep -c "udp dport 8080" watching.log) >= 2)); }
for _ in {1..40}; do
	tool client udp_flows -n 20 10.0.0.1 8080 >/dev/null
	! turns || break
	sleep 0.1
done
turns || die "stats -w does not refresh: $(<watching.log)"
background_stop watching INT
has "rates" "$(<watching.log)" "/s"

# SIGHUP reloads, as daemons do; SIGTERM ends with 0.
echo 'notrack udp dport 8080' >$LAB_CONF
kill -HUP "$LAB_DAEMON"
reloaded() { (($(ctb list -j | jq '.rules | length') == 1)); }
poll 5 reloaded || die "SIGHUP does not reload"
daemon_stop
pass
