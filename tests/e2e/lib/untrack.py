#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""untrack.py load OBJECT PROGRAM DIR: load one program of untrack.bpf.o; pin it and its map in DIR.
untrack.py attach PINNED_PROGRAM HOOK PRIORITY: attach it to netfilter, IPv4, and hold the link until
killed. Neither Debian's bpftool nor its libbpf knows netfilter programs."""
import ctypes
import os
import sys

from bpf_link import hold

BPF_PROG_TYPE_NETFILTER, BPF_NETFILTER, NFPROTO_IPV4 = 32, 45, 2
HOOKS = ["prerouting", "input", "forward", "output", "postrouting"]


def load(path, name, where):
    lib = ctypes.CDLL("libbpf.so.1", use_errno=True)
    lib.bpf_object__open_file.restype = ctypes.c_void_p
    lib.bpf_object__find_map_by_name.restype = ctypes.c_void_p
    lib.bpf_object__next_program.restype = ctypes.c_void_p
    lib.bpf_program__name.restype = ctypes.c_char_p
    obj = ctypes.c_void_p(lib.bpf_object__open_file(path.encode(), None))
    if not obj.value:
        sys.exit(f"cannot open {path}")
    prog = wanted = None
    while prog := lib.bpf_object__next_program(obj, ctypes.c_void_p(prog)):
        if lib.bpf_program__name(ctypes.c_void_p(prog)).decode() == name:
            wanted = ctypes.c_void_p(prog)
        else:
            lib.bpf_program__set_autoload(ctypes.c_void_p(prog), ctypes.c_bool(False))
    if name.endswith("_nf"):
        lib.bpf_program__set_type(wanted, BPF_PROG_TYPE_NETFILTER)
        lib.bpf_program__set_expected_attach_type(wanted, BPF_NETFILTER)
    err = lib.bpf_object__load(obj)
    if err:
        sys.exit(f"{name}: {os.strerror(-err)}")
    results = ctypes.c_void_p(lib.bpf_object__find_map_by_name(obj, b"results"))
    if lib.bpf_program__pin(wanted, f"{where}/{name}".encode()) or \
            lib.bpf_map__pin(results, f"{where}/results".encode()):
        sys.exit(f"cannot pin in {where}")


def attach(pinned, hook, priority):
    hold(pinned, "IIIIIiI", 0, BPF_NETFILTER, 0, NFPROTO_IPV4, HOOKS.index(hook), int(priority), 0)


{"load": load, "attach": attach}[sys.argv[1]](*sys.argv[2:])
