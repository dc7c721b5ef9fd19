// SPDX-License-Identifier: Apache-2.0
#include "ledger/operations.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/json_fields.h"
#include "base/status_macros.h"

namespace tombolo::ca {
namespace {

absl::Status TokenRefused(absl::string_view why) {
  return absl::PermissionDeniedError(absl::StrCat("the join token ", why));
}

struct FoundToken {
  Token token;
  std::int64_t revision = 0;
};

absl::StatusOr<FoundToken> FindToken(Store& store, const std::string& digest) {
  const std::string key = TokenKey(digest);
  ASSIGN_OR_RETURN(const std::optional<Stored> stored, store.Get(key));
  if (!stored) return absl::NotFoundError("the join token is not known");
  ASSIGN_OR_RETURN(Token token, DecodeToken(key, stored->value));
  return FoundToken{.token = std::move(token), .revision = stored->revision};
}

absl::Status MayPay(const Token& token, const Payment& payment, WallTime now) {
  if (token.spent && !PaysAgain(token, payment.key)) return TokenRefused("has been used already");
  if (token.expires <= now) return TokenRefused("has expired");
  if (token.kind == payment.kind && token.subject == payment.subject) return absl::OkStatus();
  return TokenRefused(absl::StrCat("is for ", KindText(token.kind), " '", token.subject,
                                   "', not for ", KindText(payment.kind), " '", payment.subject,
                                   "'"));
}

// The token is spent in the transaction that it pays for, on the condition that
// nobody has changed it since it was looked at.
absl::Status Pay(const Payment& payment, const std::string& serial, const ChangeContext& context,
                 Change& change) {
  absl::StatusOr<FoundToken> found = FindToken(context.store, payment.digest);
  if (absl::IsNotFound(found.status())) return TokenRefused("is not known");
  RETURN_IF_ERROR(found.status());
  RETURN_IF_ERROR(MayPay(found->token, payment, context.now));
  if (found->token.spent) change.entry.details["replaces"] = found->token.serial;
  found->token.spent = true;
  found->token.serial = serial;
  found->token.key = payment.key;
  ASSIGN_OR_RETURN(std::string value, Encode(found->token));
  const std::string key = TokenKey(payment.digest);
  change.needs.push_back({{key, found->revision}, TokenRefused("has been used already")});
  change.puts.push_back({key, std::move(value)});
  change.entry.details["token"] = payment.digest;
  return absl::OkStatus();
}

absl::Status AlreadyThere(const std::string& key) {
  return absl::AlreadyExistsError(absl::StrCat(key, " is there already"));
}

// The record of a certificate, which nobody has yet.
absl::StatusOr<Change> RecordOf(Certificate certificate, const std::string& event,
                                const std::string& actor, const ChangeContext& context) {
  certificate.sequence = context.sequence();
  Change change;
  change.entry = {.event = event,
                  .actor = actor,
                  .subject = certificate.subject,
                  .details = {{"serial", certificate.serial},
                              {"not_after", TimeText(certificate.not_after)},
                              {"requester", certificate.requester},
                              {"node", certificate.node}}};
  const std::string key = CertificateKey(certificate.serial);
  ASSIGN_OR_RETURN(std::string value, Encode(certificate));
  change.needs.push_back({{key, 0}, AlreadyThere(key)});
  change.puts.push_back({key, std::move(value)});
  return change;
}

absl::StatusOr<Change> MakeIssuance(const Certificate& certificate,
                                    const std::optional<Payment>& payment,
                                    const std::optional<Basis>& basis, const std::string& actor,
                                    const ChangeContext& context) {
  RETURN_IF_ERROR(CheckBasis(basis, context.head));
  ASSIGN_OR_RETURN(Change change, RecordOf(certificate, kCertificateIssued, actor, context));
  if (payment) RETURN_IF_ERROR(Pay(*payment, certificate.serial, context, change));
  return change;
}
// Nothing is needed when the caller does not care which revision it replaces.
void NeedRevision(const std::string& name, const std::optional<std::int64_t>& revision,
                  Change& change) {
  if (!revision) return;
  change.needs.push_back(
      {{DocumentKey(name), *revision},
       absl::AbortedError(
           absl::StrCat("document '", name, "' ",
                        *revision == 0 ? std::string("is there already")
                                       : absl::StrCat("has changed since revision ", *revision)))});
}

}  // namespace

absl::Status CheckBasis(const std::optional<Basis>& basis, const AuditHead& head) {
  if (!basis || (basis->revocation >= head.revocation && basis->document >= head.document)) {
    return absl::OkStatus();
  }
  return absl::AbortedError("revocations or documents have changed since it was decided");
}

MakeChange IssueCertificate(Certificate certificate, std::optional<Payment> payment,
                            std::optional<Basis> basis, std::string actor) {
  return [=](const ChangeContext& context) {
    return MakeIssuance(certificate, payment, basis, actor, context);
  };
}

MakeChange InstallCertificate(Certificate certificate, std::string actor) {
  return [=](const ChangeContext& context) {
    return RecordOf(certificate, kCertificateInstalled, actor, context);
  };
}

MakeChange AddToken(Token token, std::string actor) {
  token.spent = false;
  token.serial.clear();
  token.key.clear();
  return [=](const ChangeContext&) -> absl::StatusOr<Change> {
    const std::string key = TokenKey(token.digest);
    Change change;
    change.entry = {.event = kTokenMade,
                    .actor = actor,
                    .subject = token.subject,
                    .details = {{"token", token.digest}, {"expires", TimeText(token.expires)}}};
    ASSIGN_OR_RETURN(std::string value, Encode(token));
    change.needs.push_back({{key, 0}, AlreadyThere(key)});
    change.puts.push_back({key, std::move(value)});
    return change;
  };
}

MakeChange RemoveToken(std::string digest, std::string actor) {
  return [=](const ChangeContext& context) -> absl::StatusOr<Change> {
    ASSIGN_OR_RETURN(const FoundToken found, FindToken(context.store, digest));
    const std::string key = TokenKey(digest);
    Change change;
    change.entry = {.event = "join token removed",
                    .actor = actor,
                    .subject = found.token.subject,
                    .details = {{"token", digest}}};
    change.needs.push_back(
        {{key, found.revision}, absl::AbortedError("the join token has just been used")});
    change.deletes.push_back(key);
    return change;
  };
}

MakeChange Revoke(Revocation revocation, std::optional<Basis> basis, std::string actor) {
  return [=](const ChangeContext& context) -> absl::StatusOr<Change> {
    RETURN_IF_ERROR(CheckBasis(basis, context.head));
    Revocation record = revocation;
    record.time = context.now;
    record.sequence = context.sequence();
    Change change;
    change.entry = {.event = absl::StrCat(KindText(record.kind), " revoked"),
                    .actor = actor,
                    .subject = record.subject,
                    .details = {{"reason", record.reason}}};
    change.revokes = true;
    ASSIGN_OR_RETURN(std::string value, Encode(record));
    change.puts.push_back({RevocationKey(record.sequence), std::move(value)});
    return change;
  };
}

MakeChange PutDocument(std::string name, std::string value, std::optional<std::int64_t> revision,
                       std::optional<Basis> basis, std::string actor) {
  return [=](const ChangeContext& context) -> absl::StatusOr<Change> {
    RETURN_IF_ERROR(CheckBasis(basis, context.head));
    Change change;
    change.entry = {.event = "document written", .actor = actor, .subject = name};
    change.changes_document = true;
    NeedRevision(name, revision, change);
    change.puts.push_back({DocumentKey(name), value});
    return change;
  };
}

MakeChange DeleteDocument(std::string name, std::optional<std::int64_t> revision,
                          std::string actor) {
  return [=](const ChangeContext&) -> absl::StatusOr<Change> {
    Change change;
    change.entry = {.event = "document deleted", .actor = actor, .subject = name};
    change.changes_document = true;
    NeedRevision(name, revision, change);
    change.deletes.push_back(DocumentKey(name));
    return change;
  };
}

MakeChange Prune(Pruning pruning, std::string actor) {
  return [=](const ChangeContext&) -> absl::StatusOr<Change> {
    Change change;
    change.entry = {.event = kRecordsRemoved,
                    .actor = actor,
                    .subject = absl::StrCat(pruning.keys.size(), " records"),
                    .details = {{"through", absl::StrCat(pruning.through)}}};
    change.needs.push_back(
        {{kPruned, pruning.revision}, absl::AbortedError("another replica has removed them")});
    change.puts.push_back({kPruned, EncodePruned(pruning.through)});
    change.deletes = pruning.keys;
    return change;
  };
}

MakeChange Note(AuditEntry entry) {
  return [=](const ChangeContext&) -> absl::StatusOr<Change> {
    Change change;
    change.entry = entry;
    change.entry.writes.clear();
    change.entry.deletes.clear();
    return change;
  };
}

}  // namespace tombolo::ca
