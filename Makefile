# SPDX-License-Identifier: GPL-2.0-only
# make help lists the targets. Two commands need nothing installed first but make itself:
#   sudo make demo     sudo make check

VERSION := 0.1.0
PREFIX ?= /usr
SYSCONFDIR ?= /etc
UNITDIR ?= /lib/systemd/system
DESTDIR ?=

# SAN=1 builds everything with ASan and UBSan, in a directory of its own.
B := build$(if $(SAN),/san)
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-6s %s\n' $(1) $(patsubst $(B)/%,%,$@))

CC := gcc
CLANG := clang
BPFTOOL := bpftool
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wformat-signedness -Werror
comma := ,
SANFLAGS := $(if $(SAN),-fsanitize=address$(comma)undefined -fno-sanitize-recover=undefined)
CPPFLAGS += -D_GNU_SOURCE -DCTB_VERSION='"$(VERSION)"' -Iinclude -Isrc -isystem $(B)/gen
CFLAGS ?= -O2 -g
# -MD, not -MMD: skeletons count as system headers, and changed BPF must not leave stale objects.
ALL_CFLAGS = -std=gnu17 $(WARN) $(CFLAGS) $(SANFLAGS) $(CPPFLAGS) -MD -MP
LIBS := -lbpf -lelf -lz -lnftables -lmnl -lnetfilter_conntrack -ljansson
# asm/types.h is found below the multiarch directory on Debian, which clang puts a vendor into.
BPF_CFLAGS = -g -O2 -target bpf -mcpu=v3 -Wall -Wextra -Werror -Iinclude -Ibpf \
	-idirafter /usr/include/$(subst -pc-,-,$(subst -unknown-,-,$(shell $(CC) -dumpmachine))) -MMD -MP

LIB_OBJS := $(patsubst src/%.c,$(B)/obj/%.o,$(filter-out src/main.c,$(wildcard src/*.c)))
SKELS := $(patsubst %,$(B)/gen/%.skel.h,tc xdp state tc_direct output)
UNIT_TESTS := $(patsubst tests/unit/%.c,$(B)/tests/unit/%,$(wildcard tests/unit/test_*.c))
PROG_TESTS := $(patsubst tests/prog/%.c,$(B)/tests/prog/%,$(wildcard tests/prog/test_*.c))
PROG_HELPERS := $(patsubst tests/prog/%.c,$(B)/obj/tests/prog/%.o,\
	$(filter-out $(wildcard tests/prog/test_*.c) $(wildcard tests/prog/*.bpf.c),$(wildcard tests/prog/*.c)))
PROG_SKELS := $(patsubst tests/prog/%.bpf.c,$(B)/gen/%.skel.h,$(wildcard tests/prog/*.bpf.c))
E2E_OBJS := $(patsubst tests/e2e/lib/%.c,$(B)/tests/e2e/%.o,$(wildcard tests/e2e/lib/*.bpf.c)) \
	$(B)/tests/e2e/drop_cap.so $(B)/tests/e2e/uml_xstate.so $(B)/tests/e2e/amx_host.so \
	$(B)/tests/e2e/swap_fault.so
FUZZERS := $(patsubst tests/fuzz/%.c,$(B)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
BENCH_OBJS := $(patsubst bench/lib/%.c,$(B)/obj/bench/lib/%.o,\
	$(filter-out %.bpf.c,$(wildcard bench/lib/*.c)))
BENCH_SKELS := $(patsubst bench/lib/%.bpf.c,$(B)/gen/%.skel.h,$(wildcard bench/lib/*.bpf.c))

.PHONY: all demo check check-long check-kernels vm bench bench-quick bench-results bench-classify \
	bench-forward bench-instructions fuzz install uninstall kmod install-dkms \
	format clean help tests fuzzers deps
.DELETE_ON_ERROR:
.SECONDARY:

all: $(B)/ctbypass

help:
	@echo "all demo check check-long check-kernels vm fuzz install uninstall format clean"
	@echo "bench bench-quick bench-results bench-classify bench-forward; BENCH=\"-g rules\" (options)"
	@echo "bench-instructions OURS=1 (what CI runs); BASELINE=update WHY=\"...\""
	@echo "kmod KVER=... (the optional module); install-dkms (its source, for DKMS)"
	@echo "check-kernels KERNELS=\"6.1 6.12\" PATTERN=e2e/1 FEW=1 DIRECT=1 (direct mode); vm KERNELS=6.12 (a shell there)"
	@echo "variables: V=1 (show commands) SAN=1 (sanitizers) DESTDIR= PREFIX= SYSCONFDIR= UNITDIR="

deps:
	$(Q)scripts/install-deps.sh

# The rest of the Makefile is read again once the tools are there.
demo:
	$(Q)scripts/install-deps.sh --demo
	$(Q)$(MAKE) --no-print-directory all
	$(Q)scripts/demo.sh $(B)/ctbypass

check: deps
	$(Q)$(MAKE) --no-print-directory all tests
	$(Q)tests/run.sh $(B)

check-long: deps fuzz
	$(Q)$(MAKE) --no-print-directory all tests
	$(Q)tests/run.sh --long $(B)

# The tests under other kernels, in virtual machines. FEW=1: some of the scenarios only. DIRECT=1: all
# scenarios in direct mode.
KERNELS ?= 6.1 6.12
check-kernels:
	$(Q)scripts/install-deps.sh --vm
	$(Q)$(MAKE) --no-print-directory all tests
	$(Q)KERNELS="$(KERNELS)" FEW="$(FEW)" DIRECT="$(DIRECT)" scripts/kernels/check.sh $(B) $(PATTERN)

vm:
	$(Q)scripts/install-deps.sh --vm
	$(Q)$(MAKE) --no-print-directory all tests
	$(Q)scripts/kernels/vm.sh -b $(B) $(lastword $(KERNELS))

# What a packet costs with each way around conntrack; BENCH takes options, see bench/README.md.
BENCH ?=
bench bench-quick bench-forward: deps
	$(Q)$(MAKE) --no-print-directory all $(B)/bench/ctbypass-bench
	$(Q)$(B)/bench/ctbypass-bench $(BENCH_$@) $(BENCH)
BENCH_bench-quick := --quick
# One run for bench/results: as data, as a table with the machine, as curves.
bench-results:
	$(Q)scripts/install-deps.sh --bench
	$(Q)$(MAKE) --no-print-directory all $(B)/bench/ctbypass-bench
	$(Q)mkdir -p bench/results
	$(Q)$(B)/bench/ctbypass-bench --json bench/results/result.json $(BENCH) >bench/results/table.txt
	$(Q)bench/plot.sh bench/results/result.json bench/results
BENCH_bench-forward := -g forward,passed

bench-classify: deps
	$(Q)$(MAKE) --no-print-directory $(B)/bench/classify
	$(Q)$(B)/bench/classify

# Instructions of a packet, in virtual machines; against bench/baseline, or BASELINE=update WHY="...".
bench-instructions:
	$(Q)scripts/install-deps.sh --vm
	$(Q)$(MAKE) --no-print-directory all $(B)/bench/ctbypass-bench
	$(Q)KERNELS="$(KERNELS)" bench/instructions.sh $(if $(OURS),--ours) $(if $(BASELINE),--$(BASELINE) "$(WHY)") $(B)

tests: $(UNIT_TESTS) $(PROG_TESTS) $(E2E_OBJS) $(B)/bench/ctbypass-bench
fuzzers: $(FUZZERS)
fuzz:
	$(Q)CLANG="$(CLANG)" scripts/install-deps.sh --fuzz
	$(Q)$(MAKE) --no-print-directory fuzzers

$(B)/%.bpf.o: bpf/%.bpf.c
	$(call say,BPF)
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_CFLAGS) -c $< -o $@

$(B)/tests/prog/%.bpf.o: tests/prog/%.bpf.c
	$(call say,BPF)
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_CFLAGS) -c $< -o $@

$(B)/tests/e2e/%.bpf.o: tests/e2e/lib/%.bpf.c
	$(call say,BPF)
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_CFLAGS) -c $< -o $@

$(B)/tests/e2e/%.so: tests/e2e/lib/%.c
	$(call say,LD)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -fPIC -shared $< -o $@

$(B)/bench/lib/%.bpf.o: bench/lib/%.bpf.c
	$(call say,BPF)
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_CFLAGS) -Ibench/lib -c $< -o $@

$(B)/gen/%.skel.h: $(B)/bench/lib/%.bpf.o
	$(call say,SKEL)
	@mkdir -p $(@D)
	$(Q)$(BPFTOOL) gen skeleton $< name $*_bpf >$@

$(B)/gen/%.skel.h: $(B)/%.bpf.o
	$(call say,SKEL)
	@mkdir -p $(@D)
	$(Q)$(BPFTOOL) gen skeleton $< name $*_bpf >$@

$(B)/gen/%.skel.h: $(B)/tests/prog/%.bpf.o
	$(call say,SKEL)
	@mkdir -p $(@D)
	$(Q)$(BPFTOOL) gen skeleton $< name $*_bpf >$@

$(B)/obj/tests/%.o: tests/%.c | $(SKELS) $(PROG_SKELS)
	$(call say,CC)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -c $< -o $@

$(B)/obj/bench/%.o: bench/%.c | $(SKELS) $(BENCH_SKELS)
	$(call say,CC)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -Ibench/lib -c $< -o $@

$(B)/obj/%.o: src/%.c | $(SKELS)
	$(call say,CC)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -c $< -o $@

$(B)/libctbypass.a: $(LIB_OBJS)
	$(call say,AR)
	$(Q)rm -f $@ && ar rcs $@ $^

$(B)/ctbypass: $(B)/obj/main.o $(B)/libctbypass.a
	$(call say,LD)
	$(Q)$(CC) $(CFLAGS) $(SANFLAGS) $(LDFLAGS) $^ -o $@ $(LIBS)

$(B)/tests/unit/test_apply $(B)/tests/unit/test_hand_over: $(B)/obj/tests/unit/apply_fakes.o

$(B)/tests/unit/%: $(B)/obj/tests/unit/%.o $(B)/libctbypass.a
	$(call say,LD)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(SANFLAGS) $(filter %.o,$^) $(filter %.a,$^) -o $@ -lcriterion $(LIBS)

$(B)/tests/prog/%: $(B)/obj/tests/prog/%.o $(PROG_HELPERS) $(B)/libctbypass.a
	$(call say,LD)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(SANFLAGS) $^ -o $@ -lcriterion $(LIBS)

$(B)/bench/%: $(B)/obj/bench/%.o $(BENCH_OBJS) $(B)/libctbypass.a
	$(call say,LD)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(SANFLAGS) $^ -o $@ $(LIBS)

# Fuzzers are built whole with clang, so that the code under test is instrumented too.
$(B)/fuzz/%: tests/fuzz/%.c $(filter-out src/main.c,$(wildcard src/*.c)) | $(SKELS)
	$(call say,FUZZ)
	@mkdir -p $(@D)
	$(Q)$(CLANG) -std=gnu17 -g -O1 -fsanitize=fuzzer,address,undefined $(CPPFLAGS) $^ -o $@ $(LIBS)

install: all $(B)/bench/ctbypass-bench
	install -Dm755 $(B)/ctbypass $(DESTDIR)$(PREFIX)/sbin/ctbypass
	install -Dm755 $(B)/bench/ctbypass-bench $(DESTDIR)$(PREFIX)/lib/ctbypass/bench
	install -Dm644 -t $(DESTDIR)$(PREFIX)/lib/ctbypass \
		$(patsubst %,$(B)/%.bpf.o,tc tc_direct xdp output)
	install -Dm644 packaging/ctbypass.service $(DESTDIR)$(UNITDIR)/ctbypass.service
	install -Dm644 man/ctbypass.8 $(DESTDIR)$(PREFIX)/share/man/man8/ctbypass.8
	install -Dm644 man/ctbypass.conf.5 $(DESTDIR)$(PREFIX)/share/man/man5/ctbypass.conf.5
	install -Dm644 packaging/ctbypass.bash-completion \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/ctbypass
	install -Dm644 -t $(DESTDIR)$(PREFIX)/share/doc/ctbypass/examples examples/*.conf
	test -e $(DESTDIR)$(SYSCONFDIR)/ctbypass/ctbypass.conf || \
		install -Dm644 examples/ctbypass.conf $(DESTDIR)$(SYSCONFDIR)/ctbypass/ctbypass.conf

# The optional module: kmod/ for the running kernel (KVER=, KDIR=), or its source for DKMS.
KVER ?= $(shell uname -r)
DKMS_SRC := $(PREFIX)/src/nf_untrack_bpf-$(VERSION)
kmod:
	$(Q)$(MAKE) --no-print-directory -C kmod KVER=$(KVER)

install-dkms:
	install -Dm644 -t $(DESTDIR)$(DKMS_SRC) kmod/Kbuild kmod/Makefile $(wildcard kmod/*.[ch])
	install -Dm755 -t $(DESTDIR)$(DKMS_SRC) kmod/btf.sh
	sed 's/@VERSION@/$(VERSION)/' packaging/dkms/dkms.conf >$(DESTDIR)$(DKMS_SRC)/dkms.conf
	@echo "now: dkms install nf_untrack_bpf/$(VERSION) (docs/kmod.md says what that needs)"

# Leaves the configuration and whatever is loaded in the kernel: `ctbypass unload` first.
uninstall:
	rm -f $(DESTDIR)$(PREFIX)/sbin/ctbypass $(DESTDIR)$(UNITDIR)/ctbypass.service \
		$(DESTDIR)$(PREFIX)/share/man/man8/ctbypass.8 \
		$(DESTDIR)$(PREFIX)/share/man/man5/ctbypass.conf.5 \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/ctbypass
	rm -rf $(DESTDIR)$(PREFIX)/lib/ctbypass $(DESTDIR)$(PREFIX)/share/doc/ctbypass

format:
	clang-format -i $$(git ls-files '*.c' '*.h')

clean:
	rm -rf build

-include $(shell find $(B) -name '*.d' 2>/dev/null)
