/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Keys and values of the capture object's maps. The maps are pinned and outlive the agent that
 * filled them: a change of any layout or meaning below needs a new TB_LAYOUT. The kernel hashes
 * every byte of a key, so reserved fields are always zero. */
#ifndef TOMBOLO_ABI_CAPTURE_H_
#define TOMBOLO_ABI_CAPTURE_H_

#include "abi/counters.h"
#include "abi/types.h"

enum {
	TB_LAYOUT = 1,
	/* Levels of the cgroup tree that are searched for a workload, the root included. */
	TB_MAX_CGROUP_DEPTH = 32,
	TB_MAX_RANGES = 4096,
	/* Room for counters to come: the size of a pinned map is part of the layout. */
	TB_MAX_COUNTERS = 64,
};

TB_STATIC_ASSERT((int)TB_COUNTER_COUNT <= (int)TB_MAX_COUNTERS, "tb_counters is too small");

/* tb_services: {::ffff:10.96.0.10, 80, IPPROTO_TCP} -> what to do with a connect() to it. */
struct tb_service_key {
	struct tb_address address;
	__be16 port;
	__u8 protocol;
	__u8 reserved;
};
TB_STATIC_ASSERT(sizeof(struct tb_service_key) == 20, "tb_service_key is ABI");

enum tb_action {
	TB_ACTION_CAPTURE = 1,
	TB_ACTION_REFUSE = 2,	 /* no ready endpoint */
	TB_ACTION_TOMBSTONE = 3, /* the service is gone */
	TB_ACTION_PROBE = 4,	 /* answers TB_PROBE_ERRNO to anybody: shows that the hook runs */
};

struct tb_service {
	__u64 id;
	__u64 buried_ms; /* CLOCK_BOOTTIME, of a tombstone: the oldest is reclaimed first */
	__u32 action;	 /* enum tb_action; any other value refuses */
	__u32 reserved;
};
TB_STATIC_ASSERT(sizeof(struct tb_service) == 24, "tb_service is ABI");

/* ENOTUNIQ: no connect() returns it by itself. Destinations: 192.0.2.1 port 1 and 100::1 port 1,
 * reserved for documentation (RFC 5737) and discarding (RFC 6666). */
enum { TB_PROBE_ERRNO = 76, TB_PROBE_PORT = 1 };

/* tb_workloads: cgroup id -> workload. Processes in descendant cgroups belong to it too, unless a
 * deeper one is known. */
enum { TB_WORKLOAD_EXEMPT = 1 };
struct tb_workload {
	__u32 slot; /* index in tb_pending */
	__u32 flags;
};
TB_STATIC_ASSERT(sizeof(struct tb_workload) == 8, "tb_workload is ABI");

/* tb_allowed: presence means that the workload may connect to the service. */
struct tb_allowed_key {
	__u64 cgroup_id;
	__u64 service_id;
};
TB_STATIC_ASSERT(sizeof(struct tb_allowed_key) == 16, "tb_allowed_key is ABI");

/* tb_protected: longest prefix -> TB_RANGE_ flags. 10.0.0.0/8 has prefix_length 104. */
enum {
	TB_RANGE_GUARDED = 1, /* callers without a workload are refused */
	TB_RANGE_CLOSED =
	    2, /* workloads are refused what is no service: it was one, or only may be one */
};
struct tb_range_key {
	__u32 prefix_length;
	struct tb_address address;
};
TB_STATIC_ASSERT(sizeof(struct tb_range_key) == 20, "tb_range_key is ABI");

/* tb_config: one element. */
enum {
	/* A map could not hold everything: workloads may reach known services and loopback only. */
	TB_CONFIG_REFUSE_UNKNOWN = 1,
	/* A workload or range could not be inserted, so that callers without a workload may be
	 * workloads: they may not reach services. */
	TB_CONFIG_REFUSE_UNENROLLED = 2,
	/* Both a service and a workload could not be inserted: anybody may be that workload, and
	 * any destination that service. Callers without a workload may reach loopback only. */
	TB_CONFIG_REFUSE_STRANGERS = 4,
};
struct tb_config {
	__u32 layout; /* TB_LAYOUT of the agent that made the maps */
	__u32 flags;
	__u32 max_pending_per_workload;
	__be16 listener_port;
	__u16 reserved;
};
TB_STATIC_ASSERT(sizeof(struct tb_config) == 16, "tb_config is ABI");

/* tb_orig_dst: a captured connection that the agent has not taken yet. `client` is the
 * application's own address, as accept() shows it to the agent. */
struct tb_connection_key {
	__u64 netns_cookie;
	struct tb_address client;
	struct tb_address listener;
	__be16 client_port;
	__be16 listener_port;
	__u32 reserved;
};
TB_STATIC_ASSERT(sizeof(struct tb_connection_key) == 48, "tb_connection_key is ABI");

struct tb_original {
	struct tb_address address; /* what the application asked for */
	__be16 port;
	__u16 reserved;
	__u32 slot;
	__u64 cgroup_id;
	__u64 socket_cookie;
};
TB_STATIC_ASSERT(sizeof(struct tb_original) == 40, "tb_original is ABI");

/* tb_sock: storage of a captured socket. */
enum tb_socket_state {
	TB_SOCKET_NONE = 0,	/* its last connect() was not captured */
	TB_SOCKET_CAPTURED = 1, /* rewritten to the listener */
	TB_SOCKET_PENDING = 2,	/* and put into tb_orig_dst under `key` */
};
struct tb_socket {
	struct tb_connection_key key;
	struct tb_original original;
	__u32 state; /* enum tb_socket_state */
	__u32 reserved;
};
TB_STATIC_ASSERT(sizeof(struct tb_socket) == 96, "tb_socket is ABI");

#endif
