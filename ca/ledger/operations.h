// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "ledger/audit.h"
#include "ledger/records.h"
#include "store/store.h"

// The changes that a ledger knows, as what they need and what they write. Internal
// to ledger.
namespace tombolo::ca {

// A join token that pays for a certificate, and whom the certificate is for.
struct Payment {
  std::string digest;
  Kind kind = Kind::kNode;
  std::string subject;
  std::string key{};  // of the certificate, as the token's record will have it
};

// What a change was decided by: the last changes that whoever decided it knew.
struct Basis {
  std::int64_t revocation = 0, document = 0;  // as an AuditHead has them
};

// Records to be removed because nobody needs them any longer (pruner.h).
struct Pruning {
  std::int64_t through = 0;   // the audit entry up to which that has been found out
  std::int64_t revision = 0;  // of the record that says so now; 0: there is none
  std::vector<std::string> keys{};
};

// One change, ready for a transaction that also has its audit entry.
struct Change {
  struct Need {
    Transaction::Condition condition;
    absl::Status otherwise;  // what the caller hears when it does not hold
  };
  AuditEntry entry;  // event, actor, subject, details; the committer fills in the rest
  std::vector<Need> needs;
  std::vector<Transaction::Put> puts;
  std::vector<std::string> deletes;
  bool revokes = false, changes_document = false;  // of the first, either way
};

// Events that are looked for in the log.
inline constexpr char kCertificateIssued[] = "certificate issued";
inline constexpr char kCertificateInstalled[] = "certificate installed";
inline constexpr char kTokenMade[] = "join token made";
inline constexpr char kRecordsRemoved[] = "old records removed";

// What a change may look at while it is made.
struct ChangeContext {
  Store& store;
  WallTime now;
  const AuditHead& head;  // what its audit entry follows

  std::int64_t sequence() const { return head.sequence + 1; }  // of its audit entry
};

// Aborted when what a change was decided by is not what its audit entry follows. Its transaction
// needs the head, so nothing can come in between; a head that is behind the basis is one that this
// ledger has to read again, and will.
absl::Status CheckBasis(const std::optional<Basis>& basis, const AuditHead& head);

// Made anew whenever its transaction has to be: an error answers its caller.
using MakeChange = std::function<absl::StatusOr<Change>(const ChangeContext&)>;

MakeChange IssueCertificate(Certificate certificate, std::optional<Payment> payment,
                            std::optional<Basis> basis, std::string actor);
// One that somebody else has made.
MakeChange InstallCertificate(Certificate certificate, std::string actor);
MakeChange AddToken(Token token, std::string actor);
MakeChange RemoveToken(std::string digest, std::string actor);
// With a basis, here and below: Aborted when anything has been revoked, or a document changed,
// since.
MakeChange Revoke(Revocation revocation, std::optional<Basis> basis, std::string actor);
// Takes back every revocation of this kind and subject; at most so many at a time, that a store
// takes them.
MakeChange Unrevoke(Revocation revocation, std::optional<Basis> basis, std::string actor);
MakeChange PutDocument(std::string name, std::string value, std::optional<std::int64_t> revision,
                       std::optional<Basis> basis, std::string actor);
MakeChange DeleteDocument(std::string name, std::optional<std::int64_t> revision,
                          std::string actor);
MakeChange Prune(Pruning pruning, std::string actor);
// Only an audit entry.
MakeChange Note(AuditEntry entry);

}  // namespace tombolo::ca
