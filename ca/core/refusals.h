// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "base/time.h"
#include "ledger/audit.h"

namespace tombolo::ca {

// Which refusals are worth an entry of the audit log, so that whoever is refused cannot fill it:
// of each code of a Status a burst of kBurst, then one in kEvery. The next entry says how many were
// left out before it. All of them are counted by metrics. Any thread.
class RefusalBudget {
 public:
  static constexpr double kBurst = 30;
  static constexpr std::chrono::seconds kEvery{10};

  // How many were left out since the last one that was not; nothing: leave this one out, too.
  std::optional<std::uint64_t> Take(absl::StatusCode code, MonotonicTime now);

 private:
  struct Bucket {
    double left = kBurst;
    MonotonicTime filled{};
    std::uint64_t left_out = 0;
  };
  std::mutex mutex_;
  std::map<absl::StatusCode, Bucket> buckets_;  // guarded by mutex_
};

// The entry for one: what was asked for is text of a stranger, and cut and escaped.
AuditEntry RefusalEntry(const absl::Status& status, const std::string& actor,
                        const std::string& subject, const std::string& address,
                        std::uint64_t left_out);

}  // namespace tombolo::ca
