// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "ledger/audit.h"
#include "store/store.h"

namespace tombolo::ca {

struct VerifyReport {
  AuditHead head;                     // as far as was read: keep it, to pass it next time
  std::int64_t records = 0;           // that were compared with the log
  std::vector<std::string> findings;  // what is wrong, each with its entry's number

  bool intact() const { return findings.empty(); }
};

// Reads the whole audit log and every record, and finds what was changed, removed,
// inserted, put in another order or cut off behind the authority's back: entries
// against their chain and the head, and records (certificates, tokens,
// revocations, documents) against the entries that wrote them, both ways. With
// `expected`, the digest of a head that was noted earlier, also a log that was
// rewritten as a whole. Reports at most 100 findings. Blocks, beside running
// ledgers too; keeps about 150 bytes of memory a record. An error: the store
// could not be read.
absl::StatusOr<VerifyReport> Verify(Store& store, const std::string& expected);

}  // namespace tombolo::ca
