// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"

namespace tombolo::gateway {

// Why a connection that came to a gateway was not carried. Names are label values.
enum class Refusal {
  // What its first bytes say.
  kNotTls,
  kTooLarge,   // a ClientHello, or a record of it, beyond kMaxClientHello
  kMalformed,  // TLS, but no ClientHello that the rules allow
  kNoTls13,
  kNotTombolo,  // offers neither a tunnel nor a link
  kNoServerName,
  kBadServerName,
  // What becomes of it.
  kTimeout,  // not all of it came in time
  kGone,     // the peer has ended before that
  kUnknownName,
  kOtherCluster,  // the name is another cluster's
  kNoEndpoint,    // none of the route's endpoints is ready
  kUnavailable,   // no node that has one could be dialled
  kNoLink,        // the name is of a cluster that is reached by links, and has none
  kNoSpare,       // it has links, but no spare came in time
  kLink,          // a link that is not accepted: LinkRefusal says why
  kToken,         // a spare whose token is not good: link::TokenRefusal says why
  kConnectionLimit,
  kHandshakeLimit,
  kResources,  // out of descriptors or memory
  kDraining,
  kCount,
};

absl::string_view Name(Refusal refusal);

// The TLS alert that tells the peer; none: a reset says enough.
std::optional<std::uint8_t> AlertOf(Refusal refusal);

}  // namespace tombolo::gateway
