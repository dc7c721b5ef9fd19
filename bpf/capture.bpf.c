/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Captures TCP connections of enrolled workloads to known services: rewrites connect() to the
 * agent's listener on the caller's own loopback, and leaves the original destination where the
 * agent finds it after accept(). Everything else about a connection is the agent's.
 *
 * Runs on Linux 6.1 and later. getsockname() is left alone: the address that the application would
 * have had is known only after routing, so it sees its loopback address. */
#include <linux/bpf.h>
#include <linux/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "abi/capture.h"
#include "lib/address.h"
#include "lib/connection.h"
#include "lib/pending.h"
#include "lib/verdict.h"

/* From the kernel's internal linux/socket.h. */
#define TB_IPPROTO_MPTCP 262

/* True: go on, and *port is set when the caller shall rewrite. */
static __always_inline bool handle_connect(struct bpf_sock_addr *ctx, struct tb_service_key *dst,
					   __be16 *port)
{
	const struct tb_config *config;
	struct tb_socket *stored;
	__u32 verdict, zero = 0;
	__be16 listener_port;

	/* MPTCP sockets connect as TCP: newer kernels call the hook for the MPTCP socket. */
	if (ctx->protocol != IPPROTO_TCP && ctx->protocol != TB_IPPROTO_MPTCP)
		return true; /* fail open: only TCP is in the mesh */
	dst->port = (__be16)ctx->user_port;
	dst->protocol = IPPROTO_TCP;
	stored = bpf_sk_storage_get(&tb_sock, ctx->sk, NULL, 0);
	if (stored)
		stored->state = TB_SOCKET_NONE;
	config = bpf_map_lookup_elem(&tb_config, &zero);
	if (!config)
		return false; /* cannot happen; fail closed with EPERM */
	/* Read once: what was checked is what is connected to. */
	listener_port = *(const volatile __be16 *)&config->listener_port;
	verdict = decide(ctx, config, dst, listener_port);
	count(verdict);
	if (verdict == TB_CAPTURED) {
		*port = listener_port;
		return true;
	}
	if (verdict == TB_ALLOWED_UNKNOWN || verdict == TB_ALLOWED_UNENROLLED ||
	    verdict == TB_ALLOWED_EXEMPT)
		return true;
	bpf_set_retval(-errno_of(verdict));
	return false;
}

SEC("cgroup/connect4")
int tb_connect4(struct bpf_sock_addr *ctx)
{
	struct tb_service_key dst = {};
	__be16 port = 0;

	address_set_v4(&dst.address, ctx->user_ip4);
	if (!handle_connect(ctx, &dst, &port))
		return 0;
	if (port) {
		ctx->user_ip4 = TB_LOOPBACK_V4;
		ctx->user_port = port;
	}
	return 1;
}

SEC("cgroup/connect6")
int tb_connect6(struct bpf_sock_addr *ctx)
{
	struct tb_service_key dst = {};
	__be16 port = 0;
	bool v4;

	address_set(&dst.address, ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2],
		    ctx->user_ip6[3]);
	if (!handle_connect(ctx, &dst, &port))
		return 0;
	if (port) {
		v4 = address_is_v4(&dst.address);
		ctx->user_ip6[0] = 0;
		ctx->user_ip6[1] = 0;
		ctx->user_ip6[2] = v4 ? TB_V4_MAPPED : 0;
		ctx->user_ip6[3] = v4 ? TB_LOOPBACK_V4 : bpf_htonl(1);
		ctx->user_port = port;
	}
	return 1;
}

/* The storage of a socket whose peer is the agent's listener, else NULL. */
static __always_inline struct tb_socket *captured_peer(struct bpf_sock_addr *ctx)
{
	struct tb_socket *stored = bpf_sk_storage_get(&tb_sock, ctx->sk, NULL, 0);

	if (!stored || stored->state == TB_SOCKET_NONE ||
	    stored->key.listener_port != (__be16)ctx->user_port)
		return NULL;
	return stored;
}

SEC("cgroup/getpeername4")
int tb_getpeername4(struct bpf_sock_addr *ctx)
{
	struct tb_socket *stored = captured_peer(ctx);

	if (stored) {
		ctx->user_ip4 = address_word(&stored->original.address, 3);
		ctx->user_port = stored->original.port;
	}
	return 1;
}

SEC("cgroup/getpeername6")
int tb_getpeername6(struct bpf_sock_addr *ctx)
{
	struct tb_socket *stored = captured_peer(ctx);

	if (stored) {
		ctx->user_ip6[0] = address_word(&stored->original.address, 0);
		ctx->user_ip6[1] = address_word(&stored->original.address, 1);
		ctx->user_ip6[2] = address_word(&stored->original.address, 2);
		ctx->user_ip6[3] = address_word(&stored->original.address, 3);
		ctx->user_port = stored->original.port;
	}
	return 1;
}

SEC("sockops")
int tb_sockops(struct bpf_sock_ops *ctx)
{
	bool connects = ctx->op == BPF_SOCK_OPS_TCP_CONNECT_CB;
	bool closes = ctx->op == BPF_SOCK_OPS_STATE_CB && ctx->args[1] == BPF_TCP_CLOSE;
	struct bpf_sock *sk = ctx->sk;
	struct tb_socket *stored;

	if (!sk || (!connects && !closes))
		return 1;
	stored = bpf_sk_storage_get(&tb_sock, sk, NULL, 0);
	if (connects && (!stored || stored->state != TB_SOCKET_CAPTURED))
		on_direct_connect(ctx);
	else if (connects)
		on_connect(ctx, stored);
	else if (stored)
		on_close(stored, ctx->args[0]);
	return 1;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
