/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a benchmark needs of the system: namespaces, commands, sysctls, time. Errors end the
 * program: a benchmark that could not set up what it says has no figures.
 */
#ifndef CTB_BENCH_SYSTEM_H
#define CTB_BENCH_SYSTEM_H

#include <jansson.h>
#include <linux/types.h>
#include <stdbool.h>
#include <stdint.h>

#include "util.h"

/* "PROGRAM: TEXT" on stderr, exit status 1. */
_Noreturn void die(const char *fmt, ...) _printf_(1, 2);

/* A new network namespace (its descriptor), loopback up, without IPv6; the caller stays in its own.
 */
int netns_new(void);
/* Go there; back to the one that we were in when we first did. */
void netns_enter(int fd);
void netns_home(void);
/* Switch IPv6 on, for devices to come, without duplicate address detection. */
void netns_ipv6(void);

/* Run a command; input (may be NULL) is its standard input. Its failure is ours. */
void command(const char *input, const char *const argv[]);
/* The same; what it prints is returned (to be freed) in place of going to our own output. */
char *command_output(const char *const argv[]);

/*
 * Run f(arg) in a child process and a network namespace of its own; what it ends with: NULL, or
 * the first line of what it said on stderr before it failed (to be freed).
 */
char *attempt(void (*f)(const void *), const void *arg);

/* A new file with that text. */
void file_create(const char *path, const char *text);
/* A file of /proc or /sys, for example a sysctl of the current netns. */
void file_write(const char *path, const char *text);
/* Its first line without the newline, or "" when there is none. */
void file_read(const char *path, char *out, size_t size);
unsigned long file_number(const char *path);

/*
 * Ends the program if another benchmark is running in this network namespace: two would measure
 * each other, and put back what the other one changed.
 */
void only_one(void);

/*
 * nf_conntrack_max belongs to the whole machine. sysctls_guard() is called early: it forks,
 * the caller goes on as the child, and the parent stays to put back what the child changed,
 * however the child ends, and to remove dir. Returns in the child only.
 */
void sysctls_guard(const char *dir);
/* How many entries there may be; 0: unknown. */
unsigned long conntrack_room(void);
/*
 * Room for so many entries; the hash table stays as large as it is. leave: if it takes no change.
 * False with *why set when it cannot be had.
 */
bool conntrack_make_room(unsigned long entries, bool leave, const char **why);

/* Stay on one CPU, the last one that we may use; returns its number. */
int cpu_pin(void);
/* Another one, for this thread alone; is there one? */
void cpu_pin_second(void);
bool cpu_has_second(void);
/* All but the pinned CPU, if there are any. */
void cpu_elsewhere(void);

/*
 * CPU time that packets took on the pinned CPU, in ns: of this thread and of ksoftirqd, not of
 * what else runs there. A kernel that accounts softirqs apart from threads (IRQ_TIME_ACCOUNTING)
 * does not charge them: then only plain time is left. clock_judge() finds out: share is the part
 * of a short run's plain time that CPU time saw, at best.
 */
double clock_cpu(void);
double clock_thread(void); /* of this thread alone */
double clock_wall(void);
void clock_judge(double share);
bool clock_plain(void);
const char *clock_name(void);

/* Bytes that programs can have without swapping; that the kernel has for itself. */
unsigned long memory_available(void);
unsigned long memory_kernel(void);

/* Facts about machine and kernel, for people and as JSON. */
json_t *machine_facts(int cpu);

/* Sorts v; the quantile q (0 ... 1) of its n values. */
double quantile(double *v, size_t n, double q);

#endif
