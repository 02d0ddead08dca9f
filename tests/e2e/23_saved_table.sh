#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# A saved ruleset has our table in it. Loaded at a boot at which the daemon cannot start, it would act
# alone, on what this host sends: a start that fails takes it away, and says so, and so does `unload`;
# `check` and `status` tell of it. Where a data plane is in force, nothing is touched.
# timeout: 180
set -euo pipefail
. "$(dirname "$0")/../../scripts/lab.sh"
lab_enter "$@"
unset CTB_CONFINE
! direct_out || skip "there is no table in direct mode"
foreign=${CTBYPASS%/*}/tests/e2e/foreign.bpf.o

lab_pair
cat >fw <<'EOT'
table inet fw {
	chain input {
		type filter hook input priority filter; policy accept;
		ct state invalid drop
	}
}
EOT
on server nft -f fw
serve web server tcp_server 80
echo 'notrack tcp dport 80 daddr local' >$LAB_CONF
echo 'notrack tcp dport' >broken
works() { # does TCP work, and what is left of it in the table
	ct_flush server
	tool client tcp_flows -t 2 -n 1 10.0.0.1 80 >/dev/null 2>&1 || { echo dead && return; }
	if (($(ct_entries server))); then echo tracked; else echo bypassed; fi
}
no_start() { # [OPTION...]: the output is in $OUT
	fails within 20 nsenter --net=/run/netns/server "$CTBYPASS" run -c broken -P $LAB_PIN -S $LAB_SOCK "$@"
}
table() { on server nft list table inet ctbypass 2>/dev/null | grep -v packets; }
boot() { # what was loaded is gone, but for what nftables.service loads
	on server "$CTBYPASS" unload -P $LAB_PIN
	on server nft -f "${1:-saved}"
}

daemon_start server
eq "with a daemon" "$(works)" bypassed
(echo flush ruleset && on server nft list ruleset) >saved
daemon_stop
boot
has "the saved table" "$(table)" "hook output"
eq "with the saved table alone" "$(works)" dead

# ---- told, and taken away ------------------------------------------------------------------

says="out of a saved ruleset it seems, and no program"
has "check" "$(on server "$CTBYPASS" check -c $LAB_CONF -P $LAB_PIN 2>&1)" "$says"
eq "check -j" "$(on server "$CTBYPASS" check -j -c $LAB_CONF -P $LAB_PIN | jq '[.host_warnings[] | select(contains("saved ruleset"))] | length')" 1
fails on server "$CTBYPASS" status -S $LAB_SOCK -P $LAB_PIN
has "status" "$OUT" "$says"
no_start
has "a start with an error in its file" "$OUT" "removed table inet ctbypass"
eq "after a start that failed" "$(works)" tracked
has "others' tables" "$(on server nft list tables)" "inet fw"
[[ ! -e $LAB_PIN ]] || die "left in bpffs: $(find $LAB_PIN)"
no_start
hasnt "again" "$OUT" "removed"
hasnt "check" "$(on server "$CTBYPASS" check -c $LAB_CONF -P $LAB_PIN 2>&1)" "saved"

# A start that fails late, and beside programs of somebody else's.
if have_tcx; then
	bpftool prog load "$foreign" $LAB_BPF/foreign
	serve foreign server tcx $LAB_BPF/foreign s0 head
fi
boot
no_start -c $LAB_CONF -S $LAB/no/such/dir.sock
has "a start without a place for its socket" "$OUT" "removed table inet ctbypass"
eq "after a start that failed late" "$(works)" tracked
[[ ! -e $LAB_PIN ]] || die "left in bpffs: $(find $LAB_PIN)"

# A start that succeeds takes it over.
boot
daemon_start server
eq "with a daemon over the saved table" "$(works)" bypassed
daemon_stop

boot
on server "$CTBYPASS" unload -P $LAB_PIN
eq "after unload" "$(works)" tracked
boot
on server "$CTBYPASS" unload -P /sys/kernel/none # no BPF file system, as at such a boot
eq "after unload without pins" "$(works)" tracked

# ---- and not where a data plane is in force ------------------------------------------------

untouched() { # WHAT
	eq "$1: the table" "$(table)" "$before"
	eq "$1" "$(works)" bypassed
	hasnt "$1" "$OUT" "removed"
}
daemon_start server
before=$(table)
no_start
untouched "another daemon runs"
no_start -c $LAB_CONF -P $LAB_BPF/other
untouched "another daemon runs, with other pins"
hasnt "check beside a daemon" "$(on server "$CTBYPASS" check -c $LAB_CONF -P $LAB_BPF/other 2>&1)" "saved"
daemon_stop
no_start
untouched "a previous daemon's"
no_start -c $LAB_CONF -S $LAB/no/such/dir.sock
untouched "a previous daemon's, late"
no_start -P $LAB_BPF/other
untouched "pins are elsewhere"
fails on server "$CTBYPASS" status -S $LAB_SOCK -P $LAB_BPF/other
hasnt "status, pins elsewhere" "$OUT" "saved"
# unload with the wrong pins: everything is tracked, and what is left is said.
status=0
OUT=$(on server "$CTBYPASS" unload -P $LAB_BPF/other 2>&1) || status=$?
if have_tcx; then
	eq "unload with the wrong pins" $status 3
	has "unload with the wrong pins" "$OUT" "s0 has a program of ours"
fi
eq "after it" "$(works)" tracked
on server "$CTBYPASS" unload -P $LAB_PIN
hasnt "tables at last" "$(on server nft list tables)" ctbypass
pass
