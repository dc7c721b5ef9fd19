/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the programs count, by the name that people see. Index of tb_counters: append only, the
 * map is pinned and outlives the program. */
#ifndef TOMBOLO_ABI_COUNTERS_H_
#define TOMBOLO_ABI_COUNTERS_H_

#define TB_COUNTERS(X)                                                                             \
	X(CAPTURED, captured)                                                                      \
	X(ALLOWED_UNKNOWN, allowed_unknown)	  /* the destination is no service */              \
	X(ALLOWED_UNENROLLED, allowed_unenrolled) /* a service, the caller is no workload */       \
	X(ALLOWED_EXEMPT, allowed_exempt)	  /* the agent itself */                           \
	X(REFUSED_DENIED, refused_denied)	  /* EACCES: the pair is not allowed */            \
	X(REFUSED_PROTECTED, refused_protected)	  /* EACCES: no workload, protected range */       \
	X(REFUSED_UNENROLLED, refused_unenrolled) /* EACCES: TB_CONFIG_REFUSE_UNENROLLED */        \
	X(REFUSED_UNKNOWN, refused_unknown)	  /* ECONNREFUSED: the maps are incomplete */      \
	X(REFUSED_NO_ENDPOINT, refused_no_endpoint)                                                \
	X(REFUSED_TOMBSTONE, refused_tombstone)	      /* the service is gone */                    \
	X(REFUSED_NO_LISTENER, refused_no_listener)   /* the agent is away */                      \
	X(REFUSED_BAD_LISTENER, refused_bad_listener) /* somebody else holds the agent's port */   \
	X(REFUSED_QUOTA, refused_quota)	    /* too many of the workload's await the agent */       \
	X(REFUSED_STORAGE, refused_storage) /* no memory for the socket's storage */               \
	X(REFUSED_DEVICE, refused_device)   /* ENETUNREACH: SO_BINDTODEVICE to other than lo */    \
	X(PROBED, probed)                                                                          \
	X(PENDING_FAILED, pending_failed) /* tb_orig_dst is full: the agent will reset it */       \
	X(PENDING_CLOSED, pending_closed) /* closed before the agent took it */                    \
	X(REDIRECTED, redirected) /* another program changed the destination after capture */

enum tb_counter {
#define TB_COUNTER_ENUM(id, name) TB_##id,
	TB_COUNTERS(TB_COUNTER_ENUM)
#undef TB_COUNTER_ENUM
	    TB_COUNTER_COUNT,
};

#endif
