// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "absl/status/statusor.h"
#include "etcd/bounds.h"
#include "etcd/client.h"
#include "etcd/messages.h"

namespace tombolo::etcd {

// All keys of `range`, or its first `limit` ones, however many answers that takes; all of
// them as they were at the revision of the answer, which has the first page's header.
// Entries are in the order of their keys. ResourceExhausted: more than `max_bytes` of keys
// and values. DataLoss: etcd answers what it was not asked. Otherwise as Client::Range();
// Unavailable also when the revision was compacted away meanwhile. With `account`, which has to
// be fresh, only what that admits is kept and counts.
absl::StatusOr<RangeAnswer> ListAll(Client& client, RangeRequest range, std::size_t max_bytes,
                                    Account* account = nullptr);

}  // namespace tombolo::etcd
