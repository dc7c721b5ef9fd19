// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/spiffe_id.h"
#include "identity/options.h"
#include "identity/record.h"

namespace tombolo::identity {

// The SVIDs of a node's workloads on disk, where Options::keep_workloads asks for that: key and
// chain of each in a file of mode 0600. Where it does not, no key of a workload is ever on disk,
// and what an earlier configuration has left is removed. Used on one thread; blocks for small
// files.
class KeptSvids {
 public:
  explicit KeptSvids(const Options& options) : options_(options) {}

  // What is kept of `id`, not judged. NotFound when there is nothing.
  absl::StatusOr<Certified> Read(const SpiffeId& id) const;
  void Write(const SpiffeId& id, const Svid& svid);
  // Removes all but those of `ids`.
  void Sweep(const std::set<SpiffeId>& ids);
  // Why the disk does not have what it should.
  const absl::Status& state_status() const { return written_.ok() ? swept_ : written_; }

 private:
  bool kept() const { return options_.keep_workloads && !options_.state.empty(); }

  const Options& options_;
  absl::Status written_, swept_;  // of the last time each
};

}  // namespace tombolo::identity
