/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Counters, and the connections that the agent has not taken yet. */
#ifndef TOMBOLO_LIB_PENDING_H_
#define TOMBOLO_LIB_PENDING_H_

#include "lib/maps.h"

static __always_inline void count(__u32 counter)
{
	__u64 *value = bpf_map_lookup_elem(&tb_counters, &counter);

	if (value)
		*value += 1; /* per CPU */
}

/* Checked in connect(), counted in TCP_CONNECT_CB: concurrent callers can exceed the limit by the
 * number of CPUs. An unknown slot has no room: fail closed. */
static __always_inline bool pending_has_room(__u32 slot, __u32 limit)
{
	__s64 *pending = bpf_map_lookup_elem(&tb_pending, &slot);

	return pending && *pending < limit;
}

static __always_inline void pending_add(__u32 slot, __s64 change)
{
	__s64 *pending = bpf_map_lookup_elem(&tb_pending, &slot);

	if (pending && (change > 0 || *pending > 0))
		__sync_fetch_and_add(pending, change);
}

/* False when it was not there: taken by the agent, which then did the counting. */
static __always_inline bool pending_remove(const struct tb_connection_key *key, __u32 slot)
{
	if (bpf_map_delete_elem(&tb_orig_dst, key))
		return false;
	pending_add(slot, -1);
	return true;
}

static __always_inline bool pending_insert(const struct tb_connection_key *key,
					   const struct tb_original *original)
{
	struct tb_original *stale = bpf_map_lookup_elem(&tb_orig_dst, key);

	/* A connection that was closed before the agent accepted it left its entry, and the
	 * 4-tuple has come round already. Which of the two the agent will accept is not known:
	 * unless both mean the same, neither gets an entry (fail closed, both are reset). */
	if (stale) {
		bool same =
		    stale->cgroup_id == original->cgroup_id && stale->port == original->port &&
		    !__builtin_memcmp(&stale->address, &original->address, sizeof(stale->address));

		pending_remove(key, stale->slot);
		if (!same)
			return false;
	}
	pending_add(original->slot, 1);
	if (!bpf_map_update_elem(&tb_orig_dst, key, original, BPF_NOEXIST))
		return true;
	pending_add(original->slot, -1);
	return false;
}

#endif
