# SPDX-License-Identifier: GPL-2.0-only
# What a process may do, by trying: a line "NAME ok" or "NAME ERRNO" each. All of it is harmless also
# where it is allowed. 55_privileges.sh runs this under the restrictions of the unit and without.
import ctypes
import errno
import mmap
import os
import socket

libc = ctypes.CDLL(None, use_errno=True)


def call(name, *args):
    if getattr(libc, name)(*args) < 0:
        raise OSError(ctypes.get_errno(), name)


def write(directory):
    path = "%s/ctbypass-probe.%d" % (directory, os.getpid())
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    os.unlink(path)


def make_directory(path):
    os.mkdir(path)
    os.rmdir(path)


def open_it(path, flags=os.O_RDONLY):
    os.close(os.open(path, flags))


ATTEMPTS = {
    "unshare": lambda: call("unshare", 0x04000000),  # UTS
    "mount": lambda: call("mount", b"/", b"/nowhere", b"", 0x1000, None),  # bind: ENOENT
    "chroot": lambda: os.chroot("/"),
    "setpriority": lambda: os.setpriority(os.PRIO_PROCESS, 0, 0),
    "bpf": lambda: call("syscall", 321, 0, ctypes.create_string_buffer(128), 128),  # EINVAL
    "inet": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close(),
    "packet": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close(),
    "netlink": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12).close(),
    "unix": lambda: socket.socket(socket.AF_UNIX).close(),
    "writable-code": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC).close(),
    "write-run": lambda: write("/run"),
    "write-bpf": lambda: make_directory("/sys/fs/bpf/probe"),
    "write-other": lambda: write("/var/lib"),
    "sysctl": lambda: open_it("/proc/sys/kernel/core_pattern", os.O_WRONLY),
    "sysctl-net": lambda: open_it("/proc/sys/net/ipv4/ip_forward", os.O_WRONLY),
    "read-sysctl": lambda: open_it("/proc/sys/net/ipv4/ip_forward"),
    "sysfs": lambda: open_it("/sys/class/net/lo/mtu", os.O_WRONLY),
    "read-home": lambda: os.listdir("/root"),
    "read-foreign": lambda: open_it("/run/lab/foreign"),
    "read-kernel-log": lambda: open_it("/dev/kmsg"),
}

for name, attempt in ATTEMPTS.items():
    result = "ok"
    try:
        attempt()
    except OSError as e:
        result = errno.errorcode.get(e.errno, str(e.errno))
    print(name, result)
