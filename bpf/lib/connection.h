/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A captured socket's own life: from before its SYN to its close. */
#ifndef TOMBOLO_LIB_CONNECTION_H_
#define TOMBOLO_LIB_CONNECTION_H_

#include "lib/address.h"
#include "lib/maps.h"
#include "lib/pending.h"

static __always_inline void fill_key(struct bpf_sock_ops *ctx, struct tb_connection_key *key)
{
	__be32 client = ctx->local_ip4;
	__be32 listener = ctx->remote_ip4;

	/* Or the compiler merges both branches' loads through a pointer into ctx, which the
	 * verifier refuses. */
	barrier_var(client);
	barrier_var(listener);
	if (ctx->family == TB_AF_INET) {
		address_set_v4(&key->client, client);
		address_set_v4(&key->listener, listener);
	} else {
		address_set(&key->client, ctx->local_ip6[0], ctx->local_ip6[1], ctx->local_ip6[2],
			    ctx->local_ip6[3]);
		address_set(&key->listener, ctx->remote_ip6[0], ctx->remote_ip6[1],
			    ctx->remote_ip6[2], ctx->remote_ip6[3]);
	}
	key->netns_cookie = bpf_get_netns_cookie(ctx);
	key->client_port = bpf_htons((__u16)ctx->local_port);
	key->listener_port = bpf_htons((__u16)bpf_ntohl(ctx->remote_port)); /* see uapi bpf.h */
}

/* Before the SYN leaves, with the 4-tuple known (net/ipv4/tcp_output.c, tcp_connect). Nothing can
 * be refused here: fail closed by leaving no entry, for the agent resets what has none. */
static __always_inline void on_connect(struct bpf_sock_ops *ctx, struct tb_socket *stored)
{
	fill_key(ctx, &stored->key);
	if (!address_is_local(&stored->key.listener)) {
		stored->state = TB_SOCKET_NONE;
		count(TB_REDIRECTED);
		return;
	}
	/* Without its callback an entry would stay when the socket closes. */
	if (bpf_sock_ops_cb_flags_set(ctx,
				      ctx->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG) ||
	    !pending_insert(&stored->key, &stored->original)) {
		count(TB_PENDING_FAILED);
		return;
	}
	stored->state = TB_SOCKET_PENDING;
}

/* A socket that no hook sent connects to the listener's port on a loopback address, from the same
 * port as one that was closed before the agent accepted it: it must not be taken for that one. */
static __always_inline void on_direct_connect(struct bpf_sock_ops *ctx)
{
	struct tb_connection_key key = {};
	const struct tb_original *stale;
	const struct tb_config *config;
	__u32 zero = 0;

	config = bpf_map_lookup_elem(&tb_config, &zero);
	if (!config || config->listener_port != bpf_htons((__u16)bpf_ntohl(ctx->remote_port)))
		return;
	fill_key(ctx, &key);
	stale = bpf_map_lookup_elem(&tb_orig_dst, &key);
	if (stale && pending_remove(&key, stale->slot))
		count(TB_PENDING_CLOSED);
}

/* A socket that was closed in order may be gone before the agent has accepted its connection:
 * what it sent waits in the listener's queue, and the entry with it. */
static __always_inline bool closed_in_order(__u32 old_state)
{
	return old_state == BPF_TCP_FIN_WAIT1 || old_state == BPF_TCP_FIN_WAIT2 ||
	       old_state == BPF_TCP_CLOSING || old_state == BPF_TCP_TIME_WAIT;
}

static __always_inline void on_close(struct tb_socket *stored, __u32 old_state)
{
	if (stored->state != TB_SOCKET_PENDING)
		return;
	stored->state = TB_SOCKET_CAPTURED;
	if (closed_in_order(old_state))
		return;
	if (pending_remove(&stored->key, stored->original.slot))
		count(TB_PENDING_CLOSED);
}

#endif
