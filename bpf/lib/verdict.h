/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What to do with a connect(): TB_CAPTURED, TB_ALLOWED_..., TB_REFUSED_... or TB_PROBED. */
#ifndef TOMBOLO_LIB_VERDICT_H_
#define TOMBOLO_LIB_VERDICT_H_

#include "lib/address.h"
#include "lib/listener.h"
#include "lib/maps.h"
#include "lib/pending.h"
#include "lib/workload.h"

/* asm-generic/errno.h, which needs a C library here. */
#define TB_EACCES 13
#define TB_ENETUNREACH 101
#define TB_ECONNREFUSED 111
#define TB_LOOPBACK_IFINDEX 1 /* in every network namespace */

static __always_inline __u32 range_flags(const struct tb_address *address)
{
	struct tb_range_key key = {.prefix_length = 128, .address = *address};
	const __u32 *flags = bpf_map_lookup_elem(&tb_protected, &key);

	return flags ? *flags : 0;
}

/* Fail open: what is no service is none of our business, unless a range or a flag says so. */
static __always_inline __u32 decide_unknown(const struct tb_config *config,
					    const struct tb_address *address)
{
	__u32 range = range_flags(address);
	bool refuse = config->flags & TB_CONFIG_REFUSE_UNKNOWN;
	const struct tb_workload *workload;
	__u64 cgroup_id = 0;

	if (!range && !refuse)
		return TB_ALLOWED_UNKNOWN;
	workload = workload_of_caller(&cgroup_id);
	if (!workload && range & TB_RANGE_GUARDED)
		return TB_REFUSED_PROTECTED;
	if (!workload) /* fail closed if it may be one, else open */
		return config->flags & TB_CONFIG_REFUSE_STRANGERS && !address_is_local(address)
			   ? TB_REFUSED_UNENROLLED
			   : TB_ALLOWED_UNKNOWN;
	if (workload->flags & TB_WORKLOAD_EXEMPT)
		return TB_ALLOWED_EXEMPT;
	if (range & TB_RANGE_CLOSED)
		return TB_REFUSED_UNKNOWN;
	if (refuse && !address_is_local(address))
		return TB_REFUSED_UNKNOWN;
	return TB_ALLOWED_UNKNOWN;
}

/* A service called by nobody we know. Fail open: the platform's own Services keep working for
 * those who are not enrolled; protected ranges close that. */
static __always_inline __u32 decide_unenrolled(const struct tb_config *config,
					       const struct tb_address *address)
{
	if (range_flags(address) & TB_RANGE_GUARDED)
		return TB_REFUSED_PROTECTED;
	if (config->flags & TB_CONFIG_REFUSE_UNENROLLED)
		return TB_REFUSED_UNENROLLED;
	return TB_ALLOWED_UNENROLLED;
}

static __always_inline bool is_allowed(__u64 cgroup_id, __u64 service_id)
{
	struct tb_allowed_key pair = {.cgroup_id = cgroup_id, .service_id = service_id};

	return bpf_map_lookup_elem(&tb_allowed, &pair) != NULL;
}

/* Keeps the destination with the socket, whatever an earlier connect() left there. */
static __always_inline __u32 remember(struct bpf_sock_addr *ctx, const struct tb_service_key *dst,
				      __u64 cgroup_id, __u32 slot)
{
	struct tb_socket *stored =
	    bpf_sk_storage_get(&tb_sock, ctx->sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);

	if (!stored) /* fail closed */
		return TB_REFUSED_STORAGE;
	stored->original.address = dst->address;
	stored->original.port = dst->port;
	stored->original.slot = slot;
	stored->original.cgroup_id = cgroup_id;
	stored->original.socket_cookie = bpf_get_socket_cookie(ctx);
	stored->state = TB_SOCKET_CAPTURED;
	return TB_CAPTURED;
}

/* A workload calls a service. Fail closed: every way out but the last refuses. */
static __always_inline __u32 decide_service(struct bpf_sock_addr *ctx,
					    const struct tb_service_key *dst,
					    const struct tb_service *service, __u64 cgroup_id,
					    __u32 slot, __be16 listener_port, __u32 quota)
{
	__u32 device = ctx->sk->bound_dev_if;
	__u32 verdict;

	if (service->action == TB_ACTION_REFUSE)
		return TB_REFUSED_NO_ENDPOINT;
	if (service->action != TB_ACTION_CAPTURE)
		return TB_REFUSED_TOMBSTONE;
	if (!is_allowed(cgroup_id, service->id))
		return TB_REFUSED_DENIED;
	if (device && device != TB_LOOPBACK_IFINDEX) /* would time out */
		return TB_REFUSED_DEVICE;
	if (!pending_has_room(slot, quota))
		return TB_REFUSED_QUOTA;
	verdict = listener_check(ctx, listener_port, address_is_v4(&dst->address));
	if (verdict != TB_CAPTURED)
		return verdict;
	return remember(ctx, dst, cgroup_id, slot);
}

static __always_inline __u32 decide(struct bpf_sock_addr *ctx, const struct tb_config *config,
				    const struct tb_service_key *dst, __be16 listener_port)
{
	const struct tb_service *service = bpf_map_lookup_elem(&tb_services, dst);
	const struct tb_workload *workload;
	__u64 cgroup_id = 0;

	if (!service)
		return decide_unknown(config, &dst->address);
	if (service->action == TB_ACTION_PROBE)
		return TB_PROBED;
	workload = workload_of_caller(&cgroup_id);
	if (!workload)
		return decide_unenrolled(config, &dst->address);
	if (workload->flags & TB_WORKLOAD_EXEMPT)
		return TB_ALLOWED_EXEMPT;
	return decide_service(ctx, dst, service, cgroup_id, workload->slot, listener_port,
			      config->max_pending_per_workload);
}

/* The errno of connect(). A full quota is ECONNREFUSED, not EAGAIN: event loops take EAGAIN from
 * connect() for "in progress". */
static __always_inline int errno_of(__u32 verdict)
{
	switch (verdict) {
	case TB_REFUSED_DENIED:
	case TB_REFUSED_PROTECTED:
	case TB_REFUSED_UNENROLLED:
		return TB_EACCES;
	case TB_REFUSED_DEVICE:
		return TB_ENETUNREACH;
	case TB_PROBED:
		return TB_PROBE_ERRNO;
	default:
		return TB_ECONNREFUSED;
	}
}

#endif
