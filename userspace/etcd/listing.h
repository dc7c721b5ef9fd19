// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "etcd/client.h"
#include "etcd/messages.h"

namespace tombolo::etcd {

// Each key of `range`, or of its first `limit` ones, however many answers that takes, as all were
// at the revision of the answer, which has the first page's header and no entries. In the order of
// the keys. An error of `each` ends it. DataLoss: etcd answers what it was not asked. Otherwise as
// Client::Range(); Unavailable also when the revision was compacted away meanwhile.
absl::StatusOr<RangeAnswer> ListEach(Client& client, RangeRequest range,
                                     const std::function<absl::Status(KeyValue)>& each);

// The same, with all of them in the answer. ResourceExhausted: more than `max_bytes` of keys and
// values.
absl::StatusOr<RangeAnswer> ListAll(Client& client, RangeRequest range, std::size_t max_bytes);

}  // namespace tombolo::etcd
