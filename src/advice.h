/* SPDX-License-Identifier: GPL-2.0-only */
/* What is allowed but most likely not meant, seen from this host's side. For check and status. */
#ifndef CTBYPASS_ADVICE_H
#define CTBYPASS_ADVICE_H

#include "expand.h"
#include "host.h"
#include "routing.h"
#include "rules.h"

/*
 * Devices that no `interface` statement names while rules bypass both directions of flows: what
 * comes in there is tracked and what goes out is not, the one-sided bypass. Text for each such
 * device (ends without newline) goes to say(arg).
 */
void advise_interfaces(const struct ruleset *rs, const struct host *host,
		       void (*say)(void *arg, const char *text), void *arg);
/* Likewise, bridges whose packets conntrack sees before the program does (br_netfilter). */
void advise_bridges(const struct ruleset *rs, const struct host *host,
		    void (*say)(void *arg, const char *text), void *arg);
/*
 * Likewise, rules that nft cannot be given (expand.h) where a transparent proxy may send in the
 * name of others. Only where nft judges what is sent.
 */
void advise_proxies(const struct entries *e, const struct host *host,
		    void (*say)(void *arg, const char *text), void *arg);
/*
 * Likewise for `forward` rules: what this host has that steers its own forwarding and not theirs.
 * Nothing when there are none.
 */
void advise_forward(const struct ruleset *rs, const struct routing *routing,
		    void (*say)(void *arg, const char *text), void *arg);

#endif
