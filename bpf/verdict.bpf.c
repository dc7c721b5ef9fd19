/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Sends on what one TCP connection receives through another one, without a process. For bench/legs:
 * no part of the gateway (docs/decisions/0014-gateway-moves-by-splice.md says why). */
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* Sockets by the port of the sender, in host byte order: where bytes come from, and where they go.
 * The program is attached to the first map only. */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u32);
} tb_verdict_from SEC(".maps"), tb_verdict_to SEC(".maps");

SEC("sk_skb/stream_verdict")
int tb_verdict(struct __sk_buff *skb)
{
	__u32 key = bpf_ntohl(skb->remote_port);

	/* Without a receiver the bytes are dropped: TCP has acknowledged them already. */
	return bpf_sk_redirect_hash(skb, &tb_verdict_to, &key, 0);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
