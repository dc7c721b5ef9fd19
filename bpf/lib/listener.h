/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef TOMBOLO_LIB_LISTENER_H_
#define TOMBOLO_LIB_LISTENER_H_

#include <stddef.h>
#include "lib/address.h"
#include "lib/maps.h"

/* The socket that a SYN to the caller's loopback would reach. The caller releases it. Source port
 * 0 matches no established connection. */
static __always_inline struct bpf_sock *listener_find(struct bpf_sock_addr *ctx, __be16 port,
						      bool v4)
{
	struct bpf_sock_tuple tuple = {};

	if (v4) {
		tuple.ipv4.saddr = TB_LOOPBACK_V4;
		tuple.ipv4.daddr = TB_LOOPBACK_V4;
		tuple.ipv4.dport = port;
		return bpf_skc_lookup_tcp(ctx, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	}
	tuple.ipv6.saddr[3] = bpf_htonl(1);
	tuple.ipv6.daddr[3] = bpf_htonl(1);
	tuple.ipv6.dport = port;
	return bpf_skc_lookup_tcp(ctx, &tuple, sizeof(tuple.ipv6), BPF_F_CURRENT_NETNS, 0);
}

/* TB_CAPTURED when the agent listens there, else why the connection is refused. Between this and
 * the SYN the listener could still change hands; that takes the agent's death and a bind() by
 * somebody else within the same connect() call. */
static __always_inline __u32 listener_check(struct bpf_sock_addr *ctx, __be16 port, bool v4)
{
	struct bpf_sock *sk = port ? listener_find(ctx, port, v4) : NULL;
	__u32 verdict = TB_REFUSED_BAD_LISTENER;

	if (!sk)
		return TB_REFUSED_NO_LISTENER;
	if (sk->state == BPF_TCP_LISTEN && bpf_sk_storage_get(&tb_listeners, sk, 0, 0))
		verdict = TB_CAPTURED;
	bpf_sk_release(sk);
	return verdict;
}

#endif
