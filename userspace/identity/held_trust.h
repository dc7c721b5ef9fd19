// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "identity/options.h"
#include "identity/record.h"

namespace tombolo::identity {

// The trust bundle that a node has from the authority, in memory and in Options::state, and the
// configured one that it begins with. Used on one thread; blocks for small files.
//
// A root rotation goes on when every node has confirmed a bundle, so a node confirms what it still
// has after a crash: what is on its disk. Without a state directory it confirms what is in memory:
// after a crash it begins with the configured roots, whatever it had, and is told everything again.
class HeldTrust {
 public:
  explicit HeldTrust(const Options& options) : options_(options) {}

  // Takes what an earlier process has kept. What is of no use is left alone and said.
  absl::Status Restore();

  const TrustPtr& bundle() const { return bundle_; }  // null: nothing from the authority yet
  // The authority's, or the configured one.
  absl::StatusOr<TrustPtr> Base() const;
  // The configured one where somebody has changed it since bundle() came; null otherwise. It may
  // be tried when nobody can be verified by bundle(). One that has not changed may not: its root
  // may have been revoked by what came since.
  absl::StatusOr<TrustPtr> Corrected() const;

  // What the authority has sent, if it is news; null otherwise. FailedPrecondition when it is older
  // than bundle(): that would take back what a newer one revoked. Under `corrected` roots
  // everything begins anew.
  absl::StatusOr<TrustPtr> Read(std::string text, bool corrected) const;
  // In memory. Keep() is next, when there is time.
  void Take(TrustPtr bundle);
  // On disk, if it is not there yet.
  void Keep();
  // Whether bundle() may be confirmed.
  bool durable() const { return options_.state.empty() || on_disk_ == bundle_; }
  // Why the disk does not have what is in memory.
  const absl::Status& state_status() const { return state_status_; }

 private:
  using Digest = std::array<std::uint8_t, 32>;
  std::optional<Digest> KeptOrigin() const;
  // That the configured one of now is what later changes are seen by.
  void NoteOrigin();

  const Options& options_;
  TrustPtr bundle_, on_disk_;
  std::optional<Digest> origin_;  // of the configured one when bundle_ came; not set: not known
  bool origin_kept_ = true;       // it is on disk
  absl::Status state_status_;
};

}  // namespace tombolo::identity
