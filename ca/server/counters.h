// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "base/time.h"
#include "server/request.h"
#include "tls/handshake_failure.h"

namespace tombolo::ca {

// What the server has done since it was made. Any thread reads and adds.
struct ServerCounters {
  using Count = std::atomic<std::uint64_t>;

  // How long things took. Each bucket counts what took at most its bound and longer than the one
  // before; the last one the rest.
  struct Times {
    static constexpr std::array<double, 11> kBounds = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                                       0.5,   1,    2.5,   5,    10};  // seconds
    void Record(Duration time);

    std::array<Count, kBounds.size() + 1> buckets{};
    Count microseconds = 0;  // of all together
  };

  static constexpr std::array<unsigned, 15> kStatuses = {200, 304, 400, 401, 403, 404, 405, 408,
                                                         413, 415, 417, 429, 431, 500, 503};
  static constexpr std::size_t kTargets = https::kResources + 1;  // the last: none of ours
  static constexpr std::size_t kFailures =
      static_cast<std::size_t>(tls::HandshakeFailure::kProtocol) + 1;
  static absl::string_view TargetName(std::size_t target);  // "cacerts", or "other" for the last

  // 429 among them. A status that is not in kStatuses counts as 500.
  void AddRequest(std::size_t target, unsigned status);
  void AddFailure(tls::HandshakeFailure failure);

  std::array<std::array<Count, kStatuses.size()>, kTargets> requests{};  // answered
  Count handshakes = 0;                                                  // that succeeded
  std::array<Count, kFailures> handshakes_failed{};                      // by tls::HandshakeFailure
  // Connections: taken in all; refused, because all slots are taken, or those of one address or
  // identity, or those of whoever has no identity.
  Count accepted = 0, refused_full = 0, refused_address = 0, refused_identity = 0,
        refused_nameless = 0;
  // Now.
  std::atomic<std::int64_t> connections = 0, held = 0, enrolling = 0;
  Times enrolment_time;  // of what the handler has answered
};

}  // namespace tombolo::ca
