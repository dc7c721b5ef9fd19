/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef TOMBOLO_LIB_WORKLOAD_H_
#define TOMBOLO_LIB_WORKLOAD_H_

#include "lib/maps.h"

/* The caller's nearest enrolled cgroup. Workloads deeper than TB_MAX_CGROUP_DEPTH levels are not
 * found: their processes count as their nearest ancestor's, or as nobody's. Not inlined: it has
 * two callers and a loop. */
static __noinline const struct tb_workload *workload_of_caller(__u64 *cgroup_id)
{
	const struct tb_workload *nearest = NULL;

	for (int level = 0; level < TB_MAX_CGROUP_DEPTH; level++) {
		__u64 id = bpf_get_current_ancestor_cgroup_id(level);
		const struct tb_workload *found;

		if (!id)
			break;
		found = bpf_map_lookup_elem(&tb_workloads, &id);
		if (found) {
			nearest = found;
			*cgroup_id = id;
		}
	}
	return nearest;
}

#endif
