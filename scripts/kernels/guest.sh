#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# PID 1 of a test kernel, behind initramfs-init: make the machine look like a Debian that has
# booted, run the command on the second serial line, hand build/log over, switch off.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 TERM=${TERM:-vt100}
hash -r

ln -sf /proc/self/fd /dev/fd
ln -sf /proc/self/fd/0 /dev/stdin
ln -sf /proc/self/fd/1 /dev/stdout
ln -sf /proc/self/fd/2 /dev/stderr
mkdir -p /dev/pts /dev/shm
mount -t devpts -o ptmxmode=666 devpts /dev/pts
mount -t tmpfs shm /dev/shm
mount -t tmpfs tmp /tmp
mount -t tmpfs -o mode=755 run /run
mount -t cgroup2 cgroup /sys/fs/cgroup
mount -t bpf -o mode=700 bpf /sys/fs/bpf
mount --make-rshared /
# Devices whose module comes when somebody opens them, as kmod makes them for systemd.
while read -r _ name dev; do
	[[ $dev =~ ^([bc])([0-9]+):([0-9]+)$ && ! -e /dev/$name ]] || continue
	[[ $name != */* ]] || mkdir -p "/dev/${name%/*}"
	mknod "/dev/$name" "${BASH_REMATCH[@]:1}"
done <"/lib/modules/$(uname -r)/modules.devname"
hostname ctbypass
ip link set lo up

cd /w || exit
stty -F /dev/ttyS1 -onlcr
setsid --ctty --wait bash /etc/vm-command <>/dev/ttyS1 >&0 2>&0
# Also when the command was killed: whoever reads the line tells an end from a crash by this.
echo "vm: exit status $?" >/dev/ttyS1
[[ ! -d build/log ]] || tar -C build -cf /dev/vdd log
sync
stty -F /dev/ttyS1 onlcr # drains what is still to be sent
echo o >/proc/sysrq-trigger
sleep 60
