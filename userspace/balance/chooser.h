// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "absl/types/span.h"
#include "balance/plan.h"

namespace tombolo::balance {

// One choice from a plan, for one connection.
class Chooser {
 public:
  // `random` gives 64 uniform bits.
  Chooser(const Plan& plan, const net::IpAddress& client, absl::Span<const Tried> tried,
          const std::function<std::uint64_t()>& random, MonotonicTime now);

  // None: nothing is left that is ready and was not tried.
  std::optional<Choice> Choose() { return tried_.empty() ? First() : Another(); }

 private:
  // Less is better, the first that differs decides: bad (ejected, or what this connection has met),
  // set, tier, has no weight.
  using Rank = std::array<std::size_t, 4>;

  std::optional<Choice> First();
  std::optional<Choice> Another();

  const Member& MemberOf(std::uint32_t id) const { return plan_.members[id]; }
  std::size_t DrawTier();
  std::optional<std::uint32_t> Trial(const Tier& tier) const;
  std::optional<Choice> TrialUpTo(std::size_t drawn);
  std::uint32_t Draw(const Tier& tier);
  const Group& GroupOfSource(const Tier& tier) const;
  std::uint32_t PowerOfTwo(const Lot& lot);
  std::uint32_t Closest(const Lot& lot, const std::vector<std::uint32_t>& also) const;
  Why Explain(const TierSet& set, std::size_t tier, Why::Reason reason) const;

  // Of another attempt.
  void NoteFailedWays();
  bool HasFailed(const Way* way) const;
  bool IsSuspect(const Member& member) const;
  bool IsSpent(const Member& member) const;
  bool IsSpent(const Member& member, std::size_t gateway) const;
  Rank RankOf(std::uint32_t id, std::size_t set, std::size_t tier, const Group& group) const;

  std::optional<std::size_t> GatewayFor(const Member& member);
  std::vector<bool> GatewaysOut(const PlanCluster& cluster) const;
  Choice Through(std::uint32_t id, Why why);

  const Plan& plan_;
  const absl::Span<const Tried> tried_;
  const std::function<std::uint64_t()>& random_;
  const MonotonicTime now_;
  const bool by_source_;
  std::uint64_t key_ = 0;  // the source's
  std::vector<const Way*> failed_ways_;
  std::vector<std::uint32_t> failed_clusters_;  // one for each of those
};

}  // namespace tombolo::balance
