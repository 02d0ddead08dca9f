#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# scripts/confine.sh UNIT NETNS DIR LOG COMMAND [ARG...]
#
# Run COMMAND as systemd would run it for the service UNIT: systemd itself does it, as the first
# process of PID, mount and cgroup namespaces of its own, so every restriction of the unit holds
# exactly as it does on a host. Only what is no restriction is set otherwise: the command, the network
# namespace NETNS, where its output goes (appended to LOG), and that it is not started again.
#
# For use inside scripts/lab.sh's namespaces, whose /run is a tmpfs: nothing else can be written to.
# DIR is made, below /run. Once the command runs, DIR/pid has its PID as the caller sees it. The exit
# status is the command's, or 77 when something is lacking here to do it. A setting that systemd does
# not know is an error.
set -euo pipefail

# What can be missing here is a reason to skip, and has its own exit status.
lacking() {
	echo "confine.sh: $*" >&2
	exit 77
}

inside() {
	local dir=$1
	mount -t proc proc /proc
	# In the place of what is there, not on top: systemd is confused by what it cannot reach.
	umount -R -l /sys/fs/cgroup 2>/dev/null || true
	mount -t cgroup2 cgroup /sys/fs/cgroup
	mount -t tmpfs tmp /tmp
	mount -t tmpfs tmp /var/tmp
	mount -o remount,bind,ro /
	# `container` keeps it from setting up a machine; other units than ours it does not see.
	exec env -i container=lab PATH=/usr/sbin:/usr/bin:/sbin:/bin SYSTEMD_UNIT_PATH="$dir/units" \
		SYSTEMD_LOG_TARGET=console SYSTEMD_LOG_LEVEL="${SYSTEMD_LOG_LEVEL:-notice}" "$systemd" \
		--system --unit=confined.service --show-status=0
}

# Words as systemd wants them quoted.
quoted() {
	local word
	for word; do
		word=${word//\\/\\\\}
		word=${word//\"/\\\"}
		word=${word//\$/\$\$}
		printf '"%s" ' "${word//%/%%}"
	done
}

# The unit under another name, so that nothing of the host's adds to it.
write_units() {
	local dir=$1 unit=$2 netns=$3 log=$4
	shift 4
	mkdir -p "$dir/units/confined.service.d"
	cp "$unit" "$dir/units/confined.service"
	cat >"$dir/units/confined.service.d/test.conf" <<-EOT
		[Unit]
		SuccessAction=exit-force
		FailureAction=exit-force
		[Service]
		ExecStart=
		ExecStart=$(quoted "$@")
		# A build with sanitizers looks for leaks by ptrace, which is not to be allowed for that.
		Environment=ASAN_OPTIONS=detect_leaks=0
		NetworkNamespacePath=$netns
		Restart=no
		StandardOutput=append:$log
		StandardError=append:$log
	EOT
}

# main_pid GROUP DIR: write DIR/pid when systemd's child has become the command.
main_pid() {
	local pid exe
	while [[ -d $1 ]]; do
		pid=$(sort -n "$1/system.slice/confined.service/cgroup.procs" 2>/dev/null | head -n 1) || pid=
		exe=$(readlink "/proc/$pid/exe" 2>/dev/null) || exe=
		if [[ -n $pid && -n $exe && $exe != "$systemd" ]]; then
			echo "$pid" >"$2/pid.new"
			mv "$2/pid.new" "$2/pid"
			return
		fi
		sleep 0.02
	done
}

for systemd in /usr/lib/systemd/systemd /lib/systemd/systemd; do
	[[ ! -x $systemd ]] || break
done
systemd=$(realpath "$systemd")

if [[ ${1:-} == --inside ]]; then
	inside "$2"
fi

unit=$1 netns=$2 dir=$3 log=$4
shift 4
[[ -x $systemd ]] || lacking "no systemd (package systemd)"
[[ $dir == /run/* ]] || {
	echo "confine.sh: $dir is not below /run" >&2
	exit 2
}
mkdir -p "$dir/cgroup"
rm -f "$dir/pid"
# What systemd does not know it warns of and leaves out.
what=$(systemd-analyze verify --man=no --recursive-errors=no "$unit" 2>&1) || true
[[ $what != *ignoring* ]] || {
	echo "confine.sh: $what" >&2
	exit 1
}
# In /run, because a checkout below /home is hidden by ProtectHome=.
cp "$1" "$dir/command"
shift
write_units "$dir" "$unit" "$netns" "$log" "$dir/command" "$@"

mountpoint -q "$dir/cgroup" || mount -t cgroup2 cgroup "$dir/cgroup" ||
	lacking "no cgroup2 file system"
# Left behind by those that were killed; full ones stay.
find "$dir/cgroup" -mindepth 1 -depth -type d -path '*/ctbypass-test.*' -mmin +10 \
	-exec rmdir {} + 2>/dev/null || true
group=$(mktemp -d "$dir/cgroup/ctbypass-test.XXXXXX") || lacking "cannot make a cgroup"

main_pid "$group" "$dir" &
status=0
(
	echo "$BASHPID" >"$group/cgroup.procs"
	exec unshare --cgroup --pid --mount --propagation slave --fork --kill-child=KILL \
		bash "$0" --inside "$dir"
) || status=$?
# Processes that were killed are still leaving it.
for _ in {1..100}; do
	find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
	[[ -d $group ]] || break
	sleep 0.02
done
exit "$status"
