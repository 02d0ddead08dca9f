#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# What the daemon may still do once it has started, and the unit's restrictions: that they hold, that
# they are enough, and that none of them is there for nothing. Which operation needs which capability:
# 56_capabilities.sh. Other scenarios run under the unit with CTB_CONFINE=1.
# timeout: 180
set -euo pipefail
. "$(dirname "$0")/../../scripts/lab.sh"
lab_enter "$@"
unset CTB_CONFINE
UNIT=$LAB_ROOT/packaging/ctbypass.service
KEPT=000000c000001000 # CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN

lab_pair
echo 'notrack udp dport 8080' >$LAB_CONF
watch_states server input "meta l4proto udp"
serve echo server udp_echo 8080

of_daemon() { sed -n "s/^$1:\t//p" /proc/"$LAB_DAEMON"/status; }
# kept WHAT [BOUND]: the daemon has those three, and no others, in any set; for good; and says so. The
# bounding set, of what it executes (nothing, and no_new_privs), it may not shrink under the unit.
kept() {
	local set
	for set in CapPrm CapEff; do
		eq "$1: $set" "$(of_daemon $set)" $KEPT
	done
	eq "$1: CapBnd" "$(of_daemon CapBnd)" ${2:-$KEPT}
	for set in CapInh CapAmb; do
		eq "$1: $set" "$(of_daemon $set)" 0000000000000000
	done
	eq "$1: no_new_privs" "$(of_daemon NoNewPrivs)" 1
	eq "$1: status -j" "$(ctb status -j | jq -r '.privileges | sort | join(" ")')" \
		"CAP_BPF CAP_NET_ADMIN CAP_PERFMON"
	grep -q "^privileges  *CAP_" <<<"$(ctb status)" || die "$1: status says nothing"
}
# It does its work: what is bypassed, and after a change what is not.
works() {
	local before
	before=$(state_count server input untracked)
	tool client udp_flows -n 20 10.0.0.1 8080
	eq "$1: untracked" $(($(state_count server input untracked) - before)) 20
	ctb add notrack udp dport 9000 >/dev/null
	ctb delete "$(rule_where "dport 8080")"
	tool client udp_flows -n 20 10.0.0.1 8080
	eq "$1: untracked once the rule is deleted" $(($(state_count server input untracked) - before)) 20
	ctb reload >/dev/null
}

# ---- by hand, as root ----------------------------------------------------------------------

daemon_start server
kept "started by root"
works "started by root"
daemon_stop

# What it was not given it has not afterwards, and nothing is said about it.
start_as() { # COMMAND...: the daemon under it
	LAB_DAEMON_NS=server
	nsenter --net=/run/netns/server "$@" "$CTBYPASS" run -c $LAB_CONF -P "${PIN:-$LAB_PIN}" -S $LAB_SOCK \
		>$LAB/daemon.log 2>&1 &
	LAB_DAEMON=$! LAB_CHILD=$!
	poll 20 daemon_ready || die "the daemon does not answer"
}
start_as setpriv --bounding-set -all,+bpf,+perfmon,+net_admin --inh-caps -all
kept "with the three only"
works "with the three only"
daemon_stop

# CAP_SYS_ADMIN in the place of CAP_BPF and CAP_PERFMON stays, for nothing works without.
start_as setpriv --bounding-set -all,+sys_admin,+net_admin --inh-caps -all
eq "sys_admin instead" "$(of_daemon CapEff)" 0000000000201000
eq "sys_admin instead" "$(ctb status -j | jq -r '.privileges | sort | join(" ")')" \
	"CAP_NET_ADMIN CAP_SYS_ADMIN"
works "with CAP_SYS_ADMIN instead"
daemon_stop
"$CTBYPASS" unload -P $LAB_PIN

# It mounts the BPF file system, and then may mount nothing any more.
cat >$LAB/bare_sys <<'END'
#!/bin/bash
mount -t sysfs sysfs /sys
exec "$@"
END
chmod +x $LAB/bare_sys
PIN=/sys/fs/bpf/x start_as unshare --mount --propagation private $LAB/bare_sys
grep -q "mounted a BPF file system" $LAB/daemon.log || die "nothing was mounted"
kept "having mounted"
daemon_stop
! on server nft list table inet ctbypass >/dev/null 2>&1 || on server nft delete table inet ctbypass

# Files that root may read only by overriding permissions: said at the start, not at a reload.
install -m 600 -o 65534 /dev/null $LAB/foreign
echo 192.0.2.1 >$LAB/foreign
echo 'set s file "foreign"
notrack udp dport 8080 saddr @s' >$LAB_CONF
fails within 20 nsenter --net=/run/netns/server "$CTBYPASS" run -c $LAB_CONF -P $LAB_PIN -S $LAB_SOCK
has "a set file that only another user may read" "$OUT" "$LAB/foreign"
has "a set file that only another user may read" "$OUT" "overrides no permissions"
[[ ! -e $LAB_PIN/maps && ! -S $LAB_SOCK ]] || die "something was left"
chmod 644 $LAB/foreign
daemon_start server
chmod 600 $LAB/foreign
fails ctb reload
has "the same at a reload" "$OUT" "overrides no permissions"
eq "rules after that reload" "$(ctb list -j | jq '.rules | length')" 1
daemon_stop
chmod 600 $LAB_CONF
chown 65534 $LAB_CONF
fails within 20 nsenter --net=/run/netns/server "$CTBYPASS" run -c $LAB_CONF -P $LAB_PIN -S $LAB_SOCK
has "a configuration that only another user may read" "$OUT" "overrides no permissions"
rm $LAB_CONF
"$CTBYPASS" unload -P $LAB_PIN

# ---- under the unit ------------------------------------------------------------------------

confine() { # UNIT COMMAND...: its output is in $LAB/confined.log
	local unit=$1
	shift
	rm -f $LAB/confined.log
	within 30 "$LAB_ROOT"/scripts/confine.sh "$unit" /run/netns/server $LAB/confined \
		$LAB/confined.log "$@" >$LAB/systemd.log 2>&1
}
# The places of the unit: the standard ones. (Of mounts upon mounts systemd sees one.)
while mountpoint -q /sys/fs/bpf; do umount /sys/fs/bpf; done
mount -t bpf -o mode=700 lab /sys/fs/bpf
echo 'notrack udp dport 8080' >$LAB_CONF
LAB_PIN=/sys/fs/bpf/ctbypass
LAB_SOCK=/run/ctbypass.sock
CTB_CONFINE=1 daemon_start server
kept "under the unit" 000000c000201000 # CAP_SYS_ADMIN, too
eq "a filter of system calls" "$(of_daemon Seccomp)" 2
works "under the unit"
# Its way to reload is under the same restrictions. (--root: in a chroot it would be the host's otherwise.)
echo 'notrack udp dport { 8080, 8088 }' >$LAB_CONF
nsenter --target "$(ps -o ppid= "$LAB_DAEMON" | tr -d ' ')" --mount --root --pid systemctl reload confined
reloaded() { [[ $(ctb list) == *8088* ]]; }
poll 5 reloaded || die "systemctl reload does nothing: $(tail -n 3 $LAB/daemon.log)"
daemon_stop
"$CTBYPASS" unload

# What root may do by itself, and under the unit not. (From a place that the unit does not hide.)
cp "$LAB_LIB/confined_probe.py" $LAB/probe.py
mount -t tmpfs elsewhere /var/lib
on server $PYTHON $LAB/probe.py >$LAB/free
confine "$UNIT" $PYTHON $LAB/probe.py || true # it does not say that it is ready
while read -r name free unit; do
	eq "$name by itself" "$(sed -n "s/^$name //p" $LAB/free)" "$free"
	eq "$name under the unit" "$(sed -n "s/^$name //p" $LAB/confined.log)" "$unit"
done <<-'EOT'
	unshare ok EPERM
	mount ENOENT EPERM
	chroot ok EPERM
	setpriority ok EPERM
	bpf EINVAL EINVAL
	inet ok EAFNOSUPPORT
	packet ok EAFNOSUPPORT
	netlink ok ok
	unix ok ok
	writable-code ok EPERM
	write-run ok ok
	write-bpf ok ok
	write-other ok EROFS
	sysctl ok EROFS
	sysctl-net ok ok
	read-sysctl ok ok
	sysfs ok EROFS
	read-home ok EACCES
	read-foreign ok EACCES
	read-kernel-log ok ENOENT
EOT
eq "things tried" "$(wc -l <$LAB/confined.log)" 20

# What the unit leaves is needed: less, and the daemon says what it lacks.
variant() { sed "$1" "$UNIT" >$LAB/variant.service; }
daemon_fails() { # WHAT SED WORDS
	variant "$2"
	! cmp -s "$UNIT" $LAB/variant.service || die "$1: the unit is the same"
	fails confine $LAB/variant.service "$CTBYPASS" run -c $LAB_CONF
	has "$1" "$(<$LAB/confined.log)" "$3"
	[[ -z $(find $LAB_PIN -type f 2>/dev/null) && ! -S $LAB_SOCK ]] || die "$1: something was left"
}
# CAP_SYS_ADMIN stands in for these two.
daemon_fails "no CAP_BPF" 's/CAP_SYS_ADMIN CAP_BPF //' "cap-bpf: "
daemon_fails "no CAP_PERFMON" 's/CAP_SYS_ADMIN //; s/ CAP_PERFMON$//' "cap-perfmon: "
daemon_fails "no CAP_NET_ADMIN" 's/ CAP_NET_ADMIN//' "cap-net-admin: "
daemon_fails "no system call bpf" 's/^SystemCallFilter=bpf capset/SystemCallFilter=capset/' "cannot create BPF maps"
daemon_fails "no netlink" 's/ AF_NETLINK$//' "netlink"
daemon_fails "pins read-only" 's, /sys/fs/bpf /proc, /proc,; /^RequiresMountsFor/d' "Read-only file system"
daemon_fails "socket read-only" 's,^ReadWritePaths=/run ,ReadWritePaths=,' "Read-only file system"
# systemd's own setting for it is stronger than the exception.
daemon_fails "ProtectKernelTunables" 's/^ReadOnlyPaths=.*/ProtectKernelTunables=yes/' "Read-only file system"
# Without the one that direct mode takes, all else works.
variant 's/CAP_SYS_ADMIN //'
echo 'notrack udp dport 8080' >$LAB_CONF
CTB_DIRECT=0 CTB_CONFINE=$LAB/variant.service daemon_start server
kept "under a unit without CAP_SYS_ADMIN"
works "under a unit without CAP_SYS_ADMIN"
daemon_stop
"$CTBYPASS" unload
# More, and it is not kept.
variant 's/^CapabilityBoundingSet=/&CAP_SETPCAP CAP_DAC_OVERRIDE CAP_NET_RAW /'
CTB_CONFINE=$LAB/variant.service daemon_start server
kept "under a unit that grants more"
daemon_stop
"$CTBYPASS" unload
# A setting that this systemd does not know is no restriction.
variant 's/^NoNewPrivileges=/NoNewPrivilege=/'
fails confine $LAB/variant.service "$CTBYPASS" run -c $LAB_CONF
has "a misspelt setting" "$(<$LAB/systemd.log)" "NoNewPrivilege"
pass
