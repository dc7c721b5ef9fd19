// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "agent/reserve_descriptor.h"
#include "net/address.h"

namespace tombolo::agent {

// How many of something each holder has at the moment, on the whole node: data
// threads share one Quota. Its lock is held for a look-up when something begins and
// when it ends, never while bytes move. It outlives its Shares.
class Quota {
 public:
  // One of a holder's; given back when it goes.
  class Share {
   public:
    Share() = default;
    Share(Share&& other) noexcept
        : quota_(std::exchange(other.quota_, nullptr)), holder_(std::move(other.holder_)) {}
    Share& operator=(Share&& other) noexcept;
    ~Share() { GiveBack(); }

   private:
    friend class Quota;
    Share(Quota* quota, std::string holder) : quota_(quota), holder_(std::move(holder)) {}
    void GiveBack();

    Quota* quota_ = nullptr;
    std::string holder_;
  };

  // One more for `holder`. ResourceExhausted when it has `limit` already.
  absl::StatusOr<Share> Take(const std::string& holder, std::uint32_t limit);
  std::uint32_t held(const std::string& holder);

 private:
  std::mutex mutex_;
  absl::flat_hash_map<std::string, std::uint32_t> held_;  // never 0
};

// One of all, and one of those of its source address where it has one that says who it is.
struct AddressShare {
  Quota::Share of_all, of_address;
};
struct AddressLimits {
  absl::string_view name;  // of the key, like "limits.handshakes"
  std::uint32_t all = 0;
  std::uint32_t per_address = 0;
  absl::string_view holder{};  // of several addresses together, in place of the one
};
// One more for `address`. Of an IPv6 address only the first half counts: whoever has one address
// has the whole /64. ResourceExhausted names the limit.
absl::StatusOr<AddressShare> TakeForAddress(Quota& quota, const net::IpAddress& address,
                                            const AddressLimits& limits);
// One more of all.
absl::StatusOr<AddressShare> TakeOfAll(Quota& quota, const AddressLimits& limits);

// What keeps the node within its limits (source::AgentConfig::Limits, and RLIMIT_NOFILE).
struct Quotas {
  Quota connections;  // captured, by workload; or those of a gateway, by source address
  Quota tunnels;      // accepted, by the peer's SPIFFE ID
  Quota handshakes;   // accepted and not finished, by source address, and all of them
  ReserveDescriptor reserve;
};

}  // namespace tombolo::agent
