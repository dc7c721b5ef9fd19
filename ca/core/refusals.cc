// SPDX-License-Identifier: Apache-2.0
#include "core/refusals.h"

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace tombolo::ca {
namespace {

constexpr std::size_t kMaxText = 512;

std::string Safe(absl::string_view text) { return absl::CHexEscape(text.substr(0, kMaxText)); }

}  // namespace

std::optional<std::uint64_t> RefusalBudget::Take(absl::StatusCode code, MonotonicTime now) {
  const std::lock_guard lock(mutex_);
  Bucket& bucket = buckets_[code];
  if (bucket.filled != MonotonicTime{}) {
    const std::chrono::duration<double> passed = now - bucket.filled;
    bucket.left = std::min(kBurst, bucket.left + passed / kEvery);
  }
  bucket.filled = now;
  if (bucket.left < 1) {
    ++bucket.left_out;
    return std::nullopt;
  }
  bucket.left -= 1;
  return std::exchange(bucket.left_out, 0);
}

AuditEntry RefusalEntry(const absl::Status& status, const std::string& actor,
                        const std::string& subject, const std::string& address,
                        std::uint64_t left_out) {
  AuditEntry entry;
  entry.event = "certificate refused";
  entry.actor = Safe(actor);
  entry.subject = Safe(subject);
  entry.details = {{"reason", Safe(status.message())},
                   {"code", absl::StatusCodeToString(status.code())},
                   {"address", Safe(address)}};
  if (left_out > 0) entry.details["left_out"] = absl::StrCat(left_out);
  return entry;
}

}  // namespace tombolo::ca
