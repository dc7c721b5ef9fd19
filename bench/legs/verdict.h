// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tombolo::bench {

// The SK_SKB stream verdict program and its maps: what a joined socket receives is sent on through
// another one by the kernel. Destroying it ends that.
class Verdict {
 public:
  // Needs CAP_BPF and CAP_NET_ADMIN.
  static absl::StatusOr<std::unique_ptr<Verdict>> Load();
  virtual ~Verdict() = default;

  // From now on; what has been received before stays where it is. One direction.
  virtual absl::Status Join(int from, int to) = 0;
};

}  // namespace tombolo::bench
