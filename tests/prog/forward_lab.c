// SPDX-License-Identifier: GPL-2.0-only
#include <criterion/criterion.h>
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include "datapath_load.h"
#include "forward_lab.h"
#include "xdp.skel.h"

const char *const lab_names[LAB_DEVS] = {
	[LAB_LO] = "lo",   [LAB_IN] = "in0",  [LAB_OUT] = "out0",
	[LAB_FEW] = "few", [LAB_TCO] = "tco", [LAB_V5] = "v5",
	[LAB_OFF] = "off", [LAB_V7] = "v7",   [LAB_V5O] = "v5o",
};

static const struct {
	enum lab_dev dev, parent;
	unsigned int vid;
} vlans[] = {
	{ LAB_V5, LAB_IN, 5 },
	{ LAB_V7, LAB_OUT, 7 },
	{ LAB_V5O, LAB_OUT, 5 },
};

#define R(prefix_, kind_, dev_, mtu_) \
	{ \
		.prefix = prefix_, .kind = kind_, .dev = dev_, .mtu = mtu_ \
	}

/* Beside the connected routes and those by each device's gateway. */
static const struct lab_route special[] = {
	R("198.18.50.0/24", LAB_UNREACHABLE, LAB_LO, 0),
	R("198.18.51.0/24", LAB_PROHIBIT, LAB_LO, 0),
	R("198.18.52.0/24", LAB_BLACKHOLE, LAB_LO, 0),
	R("198.18.53.0/24", LAB_ENCAP, LAB_OUT, 0),
	R("198.18.54.0/24", LAB_SILENT, LAB_OUT, 0),
	R("198.18.55.0/24", LAB_VIA, LAB_OUT, 1200),
	R("198.18.56.0/24", LAB_VIA6, LAB_OUT, 0),
	R("198.18.57.0/24", LAB_VIA6, LAB_V7, 0),
	R("2001:db8:f50::/48", LAB_UNREACHABLE, LAB_LO, 0),
	R("2001:db8:f51::/48", LAB_PROHIBIT, LAB_LO, 0),
	R("2001:db8:f52::/48", LAB_BLACKHOLE, LAB_LO, 0),
	R("2001:db8:f53::/48", LAB_ENCAP, LAB_OUT, 0),
	R("2001:db8:f54::/48", LAB_SILENT, LAB_OUT, 0),
	R("2001:db8:f55::/48", LAB_VIA, LAB_OUT, 1280),
};

/* Most of each address space leads somewhere, and some of it to every other fate. */
static const struct lab_route everywhere[] = {
	R("0.0.0.0/2", LAB_VIA, LAB_OUT, 0),	   R("64.0.0.0/2", LAB_VIA, LAB_V7, 0),
	R("128.0.0.0/3", LAB_VIA, LAB_FEW, 0),	   R("160.0.0.0/5", LAB_VIA, LAB_IN, 0),
	R("168.0.0.0/5", LAB_VIA, LAB_TCO, 0),	   R("176.0.0.0/5", LAB_SILENT, LAB_OUT, 0),
	R("184.0.0.0/5", LAB_VIA, LAB_V5O, 0),	   R("192.0.0.0/5", LAB_UNREACHABLE, LAB_LO, 0),
	R("200.0.0.0/5", LAB_PROHIBIT, LAB_LO, 0), R("208.0.0.0/5", LAB_BLACKHOLE, LAB_LO, 0),
	R("216.0.0.0/5", LAB_VIA, LAB_OFF, 0),	   R("224.0.0.0/4", LAB_VIA, LAB_OUT, 0),
	R("240.0.0.0/5", LAB_ENCAP, LAB_OUT, 0),   R("::/2", LAB_VIA, LAB_OUT, 0),
	R("4000::/2", LAB_VIA, LAB_V7, 0),	   R("8000::/3", LAB_VIA, LAB_FEW, 0),
	R("a000::/5", LAB_VIA, LAB_IN, 0),	   R("a800::/5", LAB_VIA, LAB_TCO, 0),
	R("b000::/5", LAB_SILENT, LAB_OUT, 0),	   R("b800::/5", LAB_VIA, LAB_V5O, 0),
	R("c000::/5", LAB_UNREACHABLE, LAB_LO, 0), R("c800::/5", LAB_PROHIBIT, LAB_LO, 0),
	R("d000::/5", LAB_BLACKHOLE, LAB_LO, 0),   R("d800::/5", LAB_VIA, LAB_OFF, 0),
	R("e000::/5", LAB_ENCAP, LAB_OUT, 0),
};

void lab_sysctl(const char *path, int value)
{
	char name[128];
	FILE *f;

	snprintf(name, sizeof(name), "/proc/sys/net/%s", path);
	f = fopen(name, "w");
	cr_assert(f && fprintf(f, "%d\n", value) > 0 && !fclose(f), "%s: %s", name,
		  strerror(errno));
}

static void add_route(struct lab *l, const struct lab_route *from)
{
	struct lab_route *r = &l->routes[l->n_routes++];
	char text[64], *slash;

	cr_assert_leq(l->n_routes, LAB_ROUTES_MAX);
	*r = *from;
	snprintf(text, sizeof(text), "%s", r->prefix);
	slash = strchr(text, '/');
	*slash++ = '\0';
	r->len = strtoul(slash, NULL, 10);
	r->family = strchr(text, ':') ? AF_INET6 : AF_INET;
	cr_assert_eq(inet_pton(r->family, text, r->addr), 1, "%s", r->prefix);
}

static void say_route(const struct lab_route *r, FILE *ip)
{
	const char *dev = lab_names[r->dev];
	bool v6 = r->family == AF_INET6;
	char via[64];

	snprintf(via, sizeof(via), v6 ? "2001:db8:%u::%s" : "10.%u.0.%s", r->dev,
		 r->kind == LAB_SILENT ? "9" : "2");
	switch (r->kind) {
	case LAB_CONNECTED:
	case LAB_LOCAL:
		return; /* come with the address */
	case LAB_UNREACHABLE:
		fprintf(ip, "route add unreachable %s\n", r->prefix);
		return;
	case LAB_PROHIBIT:
		fprintf(ip, "route add prohibit %s\n", r->prefix);
		return;
	case LAB_BLACKHOLE:
		fprintf(ip, "route add blackhole %s\n", r->prefix);
		return;
	case LAB_ENCAP:
		fprintf(ip, "route add %s encap %s via %s dev %s\n", r->prefix,
			v6 ? "seg6 mode encap segs 2001:db8:2::2" : "ip id 7 dst 10.2.0.2", via,
			dev);
		return;
	case LAB_VIA6:
		fprintf(ip, "route add %s via inet6 2001:db8:%u::2 dev %s\n", r->prefix, r->dev,
			dev);
		return;
	case LAB_VIA:
	case LAB_SILENT:
		fprintf(ip, "route add %s via %s dev %s", r->prefix, via, dev);
		if (r->mtu)
			fprintf(ip, " mtu lock %u", r->mtu);
		fprintf(ip, "\n");
	}
}

static void mac_of(enum lab_dev d, __u8 last, __u8 *out)
{
	memcpy(out, (__u8[]){ 0x02, 0, 0, 0, d, last }, 6);
	if (last == 1 && (d == LAB_IN || d == LAB_V5))
		memcpy(out, pkt_mac, 6);
}

static void add_devices(FILE *ip)
{
	__u8 m[6];
	unsigned int d;

	for (d = LAB_IN; d < LAB_DEVS; d++) {
		mac_of(d, 1, m);
		fprintf(ip,
			"link add %s address %02x:%02x:%02x:%02x:%02x:%02x type veth peer name "
			"%s-p\n"
			"link set %s-p up\nlink set %s mtu %u up\n"
			"address add 10.%u.0.1/24 dev %s\n"
			"address add 2001:db8:%u::1/64 dev %s nodad\n"
			"neighbour replace 10.%u.0.2 lladdr 02:00:00:00:%02x:02 dev %s\n"
			"neighbour replace 2001:db8:%u::2 lladdr 02:00:00:00:%02x:02 dev %s\n",
			lab_names[d], m[0], m[1], m[2], m[3], m[4], m[5], lab_names[d],
			lab_names[d], lab_names[d], d == LAB_FEW ? 1300U : 1500U, d, lab_names[d],
			d, lab_names[d], d, d, lab_names[d], d, d, lab_names[d]);
	}
}

static void add_routes(struct lab *l, bool wide)
{
	static char text[LAB_DEVS][4][64];
	size_t i;
	int d;

	for (d = LAB_IN; d < LAB_DEVS; d++) {
		snprintf(text[d][0], 64, "10.%d.0.0/24", d);
		snprintf(text[d][1], 64, "2001:db8:%d::/64", d);
		snprintf(text[d][2], 64, "198.18.%d.0/24", d);
		snprintf(text[d][3], 64, "2001:db8:f%d::/48", d);
		add_route(l, &(struct lab_route)R(text[d][0], LAB_CONNECTED, d, 0));
		add_route(l, &(struct lab_route)R(text[d][1], LAB_CONNECTED, d, 0));
		add_route(l, &(struct lab_route)R(text[d][2], LAB_VIA, d, 0));
		add_route(l, &(struct lab_route)R(text[d][3], LAB_VIA, d, 0));
	}
	for (i = 0; i < ARRAY_SIZE(special); i++)
		add_route(l, &special[i]);
	for (i = 0; wide && i < ARRAY_SIZE(everywhere); i++)
		add_route(l, &everywhere[i]);
}

/* The lab's own addresses, and what is local everywhere. */
static void add_local(struct lab *l)
{
	static struct prefix4 v4[2 * LAB_DEVS + 3];
	static struct prefix6 v6[LAB_DEVS + 2];
	struct prefix_list *p = &l->host.local;
	__u32 d;

	p->v4 = v4;
	p->v6 = v6;
	v6[p->n6++] = (struct prefix6){ 0, 1, 128 };
	for (d = LAB_IN; d < LAB_DEVS; d++) {
		v4[p->n4++] = (struct prefix4){ 0x0a000000 | d << 16 | 1, 32 };
		v4[p->n4++] = (struct prefix4){ 0x0a000000 | d << 16 | 255, 32 };
		v6[p->n6++] = (struct prefix6){ 0x20010db800000000 | (__u64)d << 16, 1, 128 };
	}
	v4[p->n4++] = (struct prefix4){ 0x7f000000, 8 };
	v4[p->n4++] = (struct prefix4){ 0xe0000000, 4 };
	v4[p->n4++] = (struct prefix4){ 0xffffffff, 32 };
	v6[p->n6++] = (struct prefix6){ 0xff00000000000000, 0, 8 };
}

static void find_devices(struct lab *l)
{
	size_t i;

	for (i = LAB_LO; i < LAB_DEVS; i++) {
		struct host_if *h = &l->ifs[i];

		h->ifindex = if_nametoindex(lab_names[i]);
		cr_assert(h->ifindex, "no %s", lab_names[i]);
		snprintf(h->name, IFNAMSIZ, "%s", lab_names[i]);
		h->flags = IFF_UP;
		h->mtu = i == LAB_FEW ? 1300 : 1500;
		mac_of(i, 1, h->mac);
	}
	for (i = 0; i < ARRAY_SIZE(vlans); i++) {
		l->ifs[vlans[i].dev].vid = vlans[i].vid;
		l->ifs[vlans[i].dev].parent = l->ifs[vlans[i].parent].ifindex;
	}
	l->host.ifs = l->ifs;
	l->host.n_ifs = LAB_DEVS;
}

void lab_init(struct lab *l, bool wide)
{
	struct host_if ignored[1];
	size_t i;
	FILE *ip;

	memset(l, 0, sizeof(*l));
	harness_init(ignored, 1);
	lab_sysctl("ipv6/conf/default/accept_dad", 0);
	lab_sysctl("ipv4/ip_forward", 1);
	lab_sysctl("ipv6/conf/all/forwarding", 1);
	lab_sysctl("ipv6/conf/default/forwarding", 1);
	add_routes(l, wide);
	ip = popen("ip -batch -", "w");
	cr_assert(ip, "ip: %s", strerror(errno));
	fprintf(ip, "link set lo up\n");
	add_devices(ip);
	for (i = 0; i < l->n_routes; i++)
		say_route(&l->routes[i], ip);
	cr_assert_eq(pclose(ip), 0, "ip -batch failed");
	find_devices(l);
	add_local(l);
	for (i = 0; i < LAB_DEVS; i++)
		l->forwarding4[i] = l->forwarding6[i] = true;
	lab_netdevs_default(l);
}

void lab_netdevs_default(struct lab *l)
{
	size_t i;

	for (i = LAB_IN; i < LAB_DEVS; i++) {
		struct ctb_netdev *n = &l->nd[i];

		*n = (struct ctb_netdev){
			.flags = CTB_ND_IN | CTB_ND_OUT | CTB_ND_OUT_SG | CTB_ND_XDP_IN,
			.out = l->ifs[i].ifindex,
			.mtu = l->ifs[i].mtu,
		};
		mac_of(i, 1, n->mac);
		l->egress[i] = true;
	}
	for (i = 0; i < ARRAY_SIZE(vlans); i++) {
		l->nd[vlans[i].dev].out = l->ifs[vlans[i].parent].ifindex;
		l->nd[vlans[i].dev].out_vid = vlans[i].vid;
		l->egress[vlans[i].dev] = false;
	}
	l->nd[LAB_TCO].out = 0;
	l->egress[LAB_TCO] = false;
	l->nd[LAB_OFF].flags = CTB_ND_IN;
	l->nd[LAB_OFF].out = 0;
	l->egress[LAB_OFF] = false;
}

void lab_put_netdevs(struct lab *l)
{
	int netdevs = bpf_object__find_map_fd_by_name(harness_bpf(l->h), "netdevs");
	int egress = bpf_object__find_map_fd_by_name(harness_bpf(l->h), "egress");
	size_t i;

	/* Without forward rules the maps are empty. */
	for (i = LAB_IN; i < LAB_DEVS && harness_tables(l->h)->config.forward; i++) {
		__u32 key = l->ifs[i].ifindex;

		cr_assert_eq(bpf_map_update_elem(netdevs, &key, &l->nd[i], BPF_ANY), 0, "%s",
			     strerror(errno));
		if (l->egress[i])
			cr_assert_eq(bpf_map_update_elem(egress, &key, &key, BPF_ANY), 0, "%s",
				     strerror(errno));
		else
			bpf_map_delete_elem(egress, &key);
	}
}

/* The maps that both programs have are the tc program's, but for each one's read-only data. */
static int share_maps(struct lab *l)
{
	struct bpf_map *map, *other;
	int err;

	bpf_object__for_each_map (map, l->xdp->obj) {
		other = load_same_map(harness_bpf(l->h), map);
		err = other ? bpf_map__reuse_fd(map, bpf_map__fd(other)) : 0;
		if (err)
			return err;
	}
	return 0;
}

static int load_xdp(struct lab *l)
{
	int err;

	l->xdp = xdp_bpf__open();
	if (!l->xdp)
		return -errno;
	err = load_configure(l->xdp->obj, harness_tables(l->h), &l->host, 1);
	if (!err)
		err = share_maps(l);
	if (!err)
		err = bpf_object__load(l->xdp->obj);
	l->xdp_fd = err ? -1 : bpf_program__fd(l->xdp->progs.ctb_xdp);
	return err;
}

int lab_load(struct lab *l, struct ruleset *rs, const struct prefix_list *local)
{
	static struct ctb_vlan_key keys[ARRAY_SIZE(vlans)];
	bool too_big;
	size_t i;
	int err;

	l->rs = rs;
	l->host.local = *local;
	for (i = 0; i < ARRAY_SIZE(vlans); i++)
		keys[i] = (struct ctb_vlan_key){ l->ifs[vlans[i].parent].ifindex, vlans[i].vid };
	l->ref = (struct ref_host){ &l->host.local, keys, ARRAY_SIZE(vlans) };
	l->h = harness_load(rs, &l->host, HARNESS_TEST, &too_big);
	if (!l->h) {
		lab_unload(l);
		return too_big ? -E2BIG : -EINVAL;
	}
	err = load_xdp(l);
	if (err) {
		fprintf(stderr, "XDP program: %s\n", strerror(-err));
		lab_unload(l);
		return -EINVAL;
	}
	lab_put_netdevs(l);
	return 0;
}

void lab_load_text(struct lab *l, const char *rules)
{
	struct prefix_list local = l->host.local;
	_diag_ struct diag d = {};
	struct ruleset *rs = NULL;
	int err = ruleset_parse_text("test", ".", rules, strlen(rules), &rs, &d);

	cr_assert_eq(err, 0, "%s", d.text.s);
	cr_assert_eq(lab_load(l, rs, &local), 0, "cannot load:\n%s", rules);
}

void lab_unload(struct lab *l)
{
	xdp_bpf__destroy(l->xdp);
	harness_free(l->h);
	ruleset_free(l->rs);
	l->xdp = NULL;
	l->h = NULL;
	l->rs = NULL;
}

int lab_run_xdp(struct lab *l, struct lab_run *r)
{
	__u8 in[9216 + 256] = {}, out[9216 + 256];
	struct xdp_md ctx = {
		.data = r->meta,
		.data_end = r->meta + (r->linear ? r->linear : r->len),
		.ingress_ifindex = l->ifs[r->in].ifindex,
	};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = in, .data_size_in = r->meta + r->len,
		    .data_out = out, .data_size_out = sizeof(out), .ctx_in = &ctx,
		    .ctx_size_in = sizeof(ctx), .ctx_out = &ctx, .ctx_size_out = sizeof(ctx),
		    .repeat = 1);

	if (r->meta + r->len > sizeof(in))
		return -E2BIG;
	memcpy(in + r->meta, r->data, r->len);
	if (bpf_prog_test_run_opts(l->xdp_fd, &opts))
		return -errno;
	r->action = opts.retval;
	/* What comes back starts with the metadata as it is then. */
	r->back_len = opts.data_size_out - ctx.data;
	memcpy(r->back, out + ctx.data, r->back_len);
	return 0;
}

bool lab_takes(struct lab *l, size_t linear, size_t meta)
{
	static const __u8 frame[500];
	struct lab_run r = { .data = frame, .len = 500, .in = LAB_IN };

	r.linear = linear;
	r.meta = meta;
	return lab_run_xdp(l, &r) == 0;
}

int lab_run_tc(struct lab *l, struct lab_run *r)
{
	struct __sk_buff ctx = {
		.ifindex = l->ifs[r->in].ifindex,
		.mark = r->mark,
		.gso_size = r->gso_size,
		.gso_segs = r->gso_size ? 2 : 0,
	};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = r->data, .data_size_in = r->len,
		    .data_out = r->back, .data_size_out = sizeof(r->back), .ctx_in = &ctx,
		    .ctx_size_in = sizeof(ctx), .ctx_out = &ctx, .ctx_size_out = sizeof(ctx),
		    .repeat = 1);

	int fd = r->push ? harness_pushed_fd(l->h, r->push) : harness_ether_fd(l->h);

	if (bpf_prog_test_run_opts(fd, &opts))
		return -errno;
	r->action = opts.retval;
	r->mark_after = ctx.mark;
	r->back_len = opts.data_size_out;
	return 0;
}
