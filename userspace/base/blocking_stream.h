// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "base/time.h"

namespace tombolo {

// A connection for threads that may block, each call until its deadline at most
// (DeadlineExceeded). Owns what is below it; one thread at a time uses it. After
// an error, unless it says otherwise, it is good for nothing but being destroyed,
// which closes it.
class BlockingStream {
 public:
  virtual ~BlockingStream() = default;

  // All of `bytes`, or an error: then a part of them may be on its way.
  virtual absl::Status Send(absl::string_view bytes, MonotonicTime deadline) = 0;

  // At least one byte; 0: the peer has sent everything.
  virtual absl::StatusOr<std::size_t> Receive(absl::Span<char> into, MonotonicTime deadline) = 0;

  // Until something (with TLS perhaps only a part of a record) waits to be received. After
  // DeadlineExceeded the stream is as good as before.
  virtual absl::Status Wait(MonotonicTime deadline) = 0;

  // Whether neither bytes nor the peer's end wait to be received. Does not block.
  virtual bool Quiet() const = 0;

  // Any thread, while the stream exists: calls that are under way and all later ones fail.
  virtual void Abort() = 0;
};

// Over TCP to the first of the host's addresses that answers. `host` is a name or
// a numeric address. A peer that has gone without a word is noticed within half a
// minute. Unavailable, InvalidArgument (no such name), DeadlineExceeded.
absl::StatusOr<std::unique_ptr<BlockingStream>> ConnectTcp(const std::string& host,
                                                           std::uint16_t port,
                                                           MonotonicTime deadline);

}  // namespace tombolo
