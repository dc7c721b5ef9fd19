// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <mutex>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "base/fd.h"

namespace tombolo::agent {

// No descriptor was to be had, in this process (EMFILE) or on this machine (ENFILE).
bool OutOfDescriptors(const absl::Status& status);
// EMFILE, for a descriptor that the reserve needs.
absl::Status ReserveNeeded();

// A descriptor kept for the time when there is no other. Given up for a moment, it
// lets a connection be accepted and refused, which would otherwise wait in its
// listener's queue for as long as the shortage lasts. Data threads share one.
class ReserveDescriptor {
 public:
  ReserveDescriptor() { (void)Keep(); }

  // Asked after a descriptor has been taken for a connection. False: that one may be
  // the reserve's, which was given up just then, and no other is left: close it.
  bool Keep();

  // Accepts one connection of `listener` and hands it to `refuse`, which closes it.
  // EAGAIN (ErrnoOf): nobody waits. Any other error: not now; try again later.
  absl::Status RefuseOne(int listener, absl::FunctionRef<void(Fd)> refuse);

 private:
  bool KeepLocked();

  std::mutex mutex_;
  Fd fd_;  // invalid while there is none to keep
};

}  // namespace tombolo::agent
