/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef TOMBOLO_LIB_ADDRESS_H_
#define TOMBOLO_LIB_ADDRESS_H_

#include <stdbool.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "abi/types.h"

#define TB_AF_INET 2
#define TB_V4_MAPPED bpf_htonl(0x0000ffff)
#define TB_LOOPBACK_V4 bpf_htonl(0x7f000001)

static __always_inline void address_set(struct tb_address *out, __be32 a, __be32 b, __be32 c,
					__be32 d)
{
	__be32 *words = (__be32 *)out->bytes;

	words[0] = a;
	words[1] = b;
	words[2] = c;
	words[3] = d;
}

static __always_inline void address_set_v4(struct tb_address *out, __be32 v4)
{
	address_set(out, 0, 0, TB_V4_MAPPED, v4);
}

static __always_inline __be32 address_word(const struct tb_address *in, int i)
{
	return ((const __be32 *)in->bytes)[i];
}

static __always_inline bool address_is_v4(const struct tb_address *in)
{
	return !address_word(in, 0) && !address_word(in, 1) && address_word(in, 2) == TB_V4_MAPPED;
}

/* The unspecified address counts: connect() to it reaches loopback. */
static __always_inline bool address_is_local(const struct tb_address *in)
{
	__be32 last = address_word(in, 3);

	if (address_is_v4(in))
		return !last || (last & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000);
	return !address_word(in, 0) && !address_word(in, 1) && !address_word(in, 2) &&
	       (!last || last == bpf_htonl(1));
}

#endif
