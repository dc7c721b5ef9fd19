/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The maps of the capture object. Sizes of 1 are placeholders: the agent sets them from its
 * configuration before loading. */
#ifndef TOMBOLO_LIB_MAPS_H_
#define TOMBOLO_LIB_MAPS_H_

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "abi/capture.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct tb_service_key);
	__type(value, struct tb_service);
} tb_services SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, struct tb_workload);
} tb_workloads SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct tb_allowed_key);
	__type(value, __u32);
} tb_allowed SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, TB_MAX_RANGES);
	__type(key, struct tb_range_key);
	__type(value, __u32);
} tb_protected SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tb_config);
} tb_config SEC(".maps");

/* Neither LRU, which would drop a live connection's destination, nor allocated on demand. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct tb_connection_key);
	__type(value, struct tb_original);
} tb_orig_dst SEC(".maps");

/* Entries of tb_orig_dst by workload slot. Signed, so that a lost race reads as "few", never as
 * 2^64. The agent maps it into memory and counts down what it takes. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __s64);
} tb_pending SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, TB_MAX_COUNTERS);
	__type(key, __u32);
	__type(value, __u64);
} tb_counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct tb_socket);
} tb_sock SEC(".maps");

/* The agent's mark on its listening sockets. Only holders of this map can set it. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u32);
} tb_listeners SEC(".maps");

#endif
