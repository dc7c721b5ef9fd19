// SPDX-License-Identifier: Apache-2.0
#include "core/trust_writer.h"

#include <chrono>
#include <optional>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
#include "core/stored_state.h"

namespace tombolo::ca {
namespace {

constexpr int kAttempts = 20;

WallTime Now() { return std::chrono::system_clock::now(); }

}  // namespace

absl::Status TrustWriter::UntilNothingHasChanged(const Attempt& attempt) {
  absl::Status last;
  for (int i = 0; i < kAttempts; ++i) {
    // Before anything else is read, which is then at least as new.
    ASSIGN_OR_RETURN(const Reader::Head end, reader_.FindHead());
    last = attempt({.revocation = end.head.revocation, .document = end.head.document});
    if (!absl::IsAborted(last)) return last;
  }
  return absl::UnavailableError(absl::StrCat("nothing was changed: ", last.message()));
}

absl::Status TrustWriter::Put(const TrustState& state, std::int64_t revision) {
  ASSIGN_OR_RETURN(const std::string text, Encode(state));
  return UntilNothingHasChanged([&](const Basis& basis) -> absl::Status {
    ASSIGN_OR_RETURN(const std::optional<Document> there, reader_.FindDocument(kTrustDocument));
    if ((there ? there->revision : 0) != revision) {
      return absl::FailedPreconditionError(
          "somebody else has just changed roots, authorities or federated bundles, so nothing was "
          "changed: look at them, and give the command again");
    }
    ASSIGN_OR_RETURN(const Revoked revoked, revoked_.Read(reader_, Now()));
    RETURN_IF_ERROR(CheckPublishable(state, revoked.set, limits_));
    return Ledger::Await([&](Ledger::Done done) {
             ledger_.PutDocument(kTrustDocument, text, revision, basis, actor_, std::move(done));
           })
        .status();
  });
}

// The part of roots and authorities is for those who change it.
absl::Status TrustWriter::CheckRoom(const tls::Revocations& revoked) const {
  ASSIGN_OR_RETURN(const StoredTrust stored, ReadTrust(reader_));
  return CheckPublishable(stored.trust, revoked, {.trust = limits_.all, .all = limits_.all});
}

absl::Status TrustWriter::Revoke(const Revocation& revocation) {
  return UntilNothingHasChanged([&](const Basis& basis) -> absl::Status {
    // A certificate that is issued meanwhile takes no room: it is of its node's series.
    ASSIGN_OR_RETURN(const Revoked with, revoked_.ReadWith(revocation, reader_, Now()));
    RETURN_IF_ERROR(CheckRoom(with.set));
    return Ledger::Await([&](Ledger::Done done) {
             ledger_.Revoke(revocation, basis, actor_, std::move(done));
           })
        .status();
  });
}

absl::Status TrustWriter::UnrevokeSome(const Revocation& revocation, const Basis& basis) {
  ASSIGN_OR_RETURN(const Revoked now, revoked_.Read(reader_, Now()));
  ASSIGN_OR_RETURN(const Revoked without, revoked_.ReadWithout(revocation, reader_, Now()));
  // A cluster has spoken for its IDs. What only makes it smaller is always good.
  if (without.set.ids.size() > now.set.ids.size()) RETURN_IF_ERROR(CheckRoom(without.set));
  return Ledger::Await([&](Ledger::Done done) {
           ledger_.Unrevoke(revocation, basis, actor_, std::move(done));
         })
      .status();
}

absl::Status TrustWriter::Unrevoke(const Revocation& revocation) {
  // Somebody may have revoked it more often than one change takes back.
  for (bool first = true;; first = false) {
    const absl::Status done =
        UntilNothingHasChanged([&](const Basis& basis) { return UnrevokeSome(revocation, basis); });
    if (!first && absl::IsNotFound(done)) return absl::OkStatus();
    if (!first && !done.ok()) {
      return Annotate(done, "some were taken back; give the command again");
    }
    RETURN_IF_ERROR(done);
  }
}

}  // namespace tombolo::ca
