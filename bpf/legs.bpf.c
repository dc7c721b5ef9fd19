/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Takes what an application sends around TCP, into its agent's socket. For bench/legs: no part of
 * the agent (docs/decisions/0009-application-leg.md says why). */
#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include "abi/legs.h"

/* Sockets by the application's port, in host byte order. The program is attached to the first map
 * only, so the agent's own sends are ordinary ones. */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u32);
} tb_leg_apps SEC(".maps"), tb_leg_agents SEC(".maps");

/* By the application's port; the agent writes `read` where it has the map in its memory. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 65536);
	__type(key, __u32);
	__type(value, struct tb_leg_flow);
} tb_leg_flows SEC(".maps");

/* Bytes that may wait for the agent before the rest takes TCP; 0: any number. */
const volatile __u64 queue_limit = 0;

/* The agent's socket hands out what was redirected before what came by TCP. So bytes go by TCP once
 * the queue is full, and until the agent has read every byte. What a socket that does not wait
 * gives to TCP in part is counted in full: such a flow stays with TCP. */
static __always_inline bool goes_by_tcp(__u32 port, __u32 size)
{
	struct tb_leg_flow *flow = bpf_map_lookup_elem(&tb_leg_flows, &port);
	__u64 waiting;

	if (!flow)
		return true; /* cannot happen: every port is there */
	waiting = flow->sent - *(volatile __u64 *)&flow->read;
	if (waiting == 0)
		flow->by_tcp = 0;
	else if (waiting > queue_limit)
		flow->by_tcp = 1;
	flow->sent += size;
	return flow->by_tcp;
}

SEC("sk_msg")
int tb_leg_send(struct sk_msg_md *msg)
{
	__u32 key = msg->local_port;

	if (queue_limit && goes_by_tcp(key, msg->size))
		return SK_PASS;
	/* Without a receiver the verdict is still to pass: then it goes through TCP. */
	bpf_msg_redirect_hash(msg, &tb_leg_agents, &key, BPF_F_INGRESS);
	return SK_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
