// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "ledger/operations.h"

namespace tombolo::ca {
namespace {

constexpr std::size_t kPage = 500;
constexpr std::size_t kMost = 32;

// Each on the condition that nobody has been there before.
absl::Status DeleteRevocations(Store& store, const Revocation& wanted, Change& change) {
  for (std::string after;;) {
    ASSIGN_OR_RETURN(const std::vector<Stored> page, store.List(kRevocations, after, kPage));
    for (const Stored& stored : page) {
      ASSIGN_OR_RETURN(const Revocation found, DecodeRevocation(stored.key, stored.value));
      if (found.kind != wanted.kind || found.subject != wanted.subject) continue;
      if (change.deletes.size() == kMost) return absl::OkStatus();
      change.needs.push_back({{stored.key, stored.revision},
                              absl::AbortedError("the revocation has just been taken back")});
      change.deletes.push_back(stored.key);
    }
    if (page.size() < kPage) return absl::OkStatus();
    after = page.back().key;
  }
}

}  // namespace

MakeChange Unrevoke(Revocation revocation, std::optional<Basis> basis, std::string actor) {
  return [=](const ChangeContext& context) -> absl::StatusOr<Change> {
    RETURN_IF_ERROR(CheckBasis(basis, context.head));
    Change change;
    change.entry = {.event = absl::StrCat(KindText(revocation.kind), " revocation taken back"),
                    .actor = actor,
                    .subject = revocation.subject,
                    .details = {{"reason", revocation.reason}}};
    change.revokes = true;
    RETURN_IF_ERROR(DeleteRevocations(context.store, revocation, change));
    if (!change.deletes.empty()) return change;
    return absl::NotFoundError(
        absl::StrCat(KindText(revocation.kind), " '", revocation.subject, "' is not revoked"));
  };
}

}  // namespace tombolo::ca
