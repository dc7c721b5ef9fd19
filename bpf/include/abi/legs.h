/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef TOMBOLO_ABI_LEGS_H_
#define TOMBOLO_ABI_LEGS_H_

#include "abi/types.h"

/* What went from an application to its agent, by either way, in bytes. For bench/legs. */
struct tb_leg_flow {
	__u64 sent;
	__u64 read;   /* as the agent says */
	__u64 by_tcp; /* not 0: the next bytes take TCP */
};
TB_STATIC_ASSERT(sizeof(struct tb_leg_flow) == 24, "tb_leg_flow is ABI");

#endif
