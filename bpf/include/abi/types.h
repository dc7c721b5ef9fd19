/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef TOMBOLO_ABI_TYPES_H_
#define TOMBOLO_ABI_TYPES_H_

#include <linux/types.h>

#ifdef __cplusplus
#define TB_STATIC_ASSERT static_assert
#else
#define TB_STATIC_ASSERT _Static_assert
#endif

/* An IPv4 or IPv6 address in network order; 10.0.0.1 is ::ffff:10.0.0.1, so IPv4, IPv6 and
 * v4-mapped sockets share keys. */
struct tb_address {
	__u8 bytes[16];
} __attribute__((aligned(4)));
TB_STATIC_ASSERT(sizeof(struct tb_address) == 16, "tb_address is ABI");

#endif
