// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ledger/audit.h"
#include "ledger/records.h"
#include "store/store.h"

namespace tombolo::ca {

struct Document {
  std::string name, value;
  std::int64_t revision = 0;
};

// Records of a store, decoded. Borrows the store. Calls block as the store's do;
// any thread may make them. What is not there is std::nullopt, what cannot be
// decoded DataLoss.
class Reader {
 public:
  explicit Reader(Store& store) : store_(store) {}

  absl::StatusOr<std::optional<Certificate>> FindCertificate(const std::string& serial) const;
  absl::StatusOr<std::optional<Token>> FindToken(const std::string& digest) const;
  absl::StatusOr<std::optional<Document>> FindDocument(const std::string& name) const;

  // In order, at most `limit`, beginning behind the one that is named; "" and 0
  // begin at the first.
  absl::StatusOr<std::vector<Certificate>> Certificates(const std::string& after,
                                                        std::size_t limit) const;
  // Every one that has not expired, in any order; the others cost little.
  absl::Status ForEachValid(WallTime now,
                            const std::function<void(const Certificate&)>& each) const;
  absl::StatusOr<std::vector<Token>> Tokens(const std::string& after, std::size_t limit) const;
  absl::StatusOr<std::vector<Revocation>> Revocations(std::int64_t after, std::size_t limit) const;
  absl::StatusOr<std::vector<AuditEntry>> Entries(std::int64_t after, std::size_t limit) const;
  // Only those whose name begins with `prefix`.
  absl::StatusOr<std::vector<Document>> Documents(const std::string& prefix,
                                                  const std::string& after,
                                                  std::size_t limit) const;

  // How far old records have been removed, and the revision of its key (0: there is none).
  struct Pruned {
    std::int64_t sequence = 0, revision = 0;
  };
  absl::StatusOr<Pruned> FindPruned() const;

  // The end of the audit log, and the revision of its key (0: there is none yet).
  // DataLoss when there are entries, but no head.
  struct Head {
    AuditHead head;
    std::int64_t revision = 0;
  };
  absl::StatusOr<Head> FindHead() const;

 private:
  Store& store_;
};

}  // namespace tombolo::ca
