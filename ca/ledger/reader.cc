// SPDX-License-Identifier: Apache-2.0
#include "ledger/reader.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"

namespace tombolo::ca {
namespace {

// `decode` makes a Record of a key and its value.
template <typename Record, typename Decode>
absl::StatusOr<std::optional<Record>> FindRecord(Store& store, const std::string& key,
                                                 Decode decode) {
  ASSIGN_OR_RETURN(const std::optional<Stored> stored, store.Get(key));
  if (!stored) return std::nullopt;
  ASSIGN_OR_RETURN(Record record, decode(stored->key, stored->value));
  return record;
}

template <typename Record, typename Decode>
absl::StatusOr<std::vector<Record>> ListRecords(Store& store, const std::string& prefix,
                                                const std::string& after, std::size_t limit,
                                                Decode decode) {
  ASSIGN_OR_RETURN(const std::vector<Stored> page, store.List(prefix, after, limit));
  std::vector<Record> records;
  records.reserve(page.size());
  for (const Stored& stored : page) {
    ASSIGN_OR_RETURN(Record record, decode(stored.key, stored.value));
    records.push_back(std::move(record));
  }
  return records;
}

Document ToDocument(Stored stored) {
  return {.name = std::string(absl::StripPrefix(stored.key, kDocuments)),
          .value = std::move(stored.value),
          .revision = stored.revision};
}

}  // namespace

absl::StatusOr<std::optional<Certificate>> Reader::FindCertificate(
    const std::string& serial) const {
  return FindRecord<Certificate>(store_, CertificateKey(serial), DecodeCertificate);
}

absl::StatusOr<std::optional<Token>> Reader::FindToken(const std::string& digest) const {
  return FindRecord<Token>(store_, TokenKey(digest), DecodeToken);
}

absl::StatusOr<std::optional<Document>> Reader::FindDocument(const std::string& name) const {
  ASSIGN_OR_RETURN(std::optional<Stored> stored, store_.Get(DocumentKey(name)));
  if (!stored) return std::nullopt;
  return ToDocument(*std::move(stored));
}

absl::StatusOr<std::vector<Certificate>> Reader::Certificates(const std::string& after,
                                                              std::size_t limit) const {
  return ListRecords<Certificate>(store_, kCertificates, CertificateKey(after), limit,
                                  DecodeCertificate);
}

absl::Status Reader::ForEachValid(WallTime now,
                                  const std::function<void(const Certificate&)>& each) const {
  constexpr std::size_t kPage = 500;
  for (std::string after;;) {
    ASSIGN_OR_RETURN(const std::vector<Stored> page, store_.List(kCertificates, after, kPage));
    for (const Stored& stored : page) {
      if (SaysExpired(stored.value, now)) continue;
      ASSIGN_OR_RETURN(const Certificate certificate, DecodeCertificate(stored.key, stored.value));
      if (certificate.not_after > now) each(certificate);
    }
    if (page.size() < kPage) return absl::OkStatus();
    after = page.back().key;
  }
}

absl::StatusOr<std::vector<Token>> Reader::Tokens(const std::string& after,
                                                  std::size_t limit) const {
  return ListRecords<Token>(store_, kTokens, TokenKey(after), limit, DecodeToken);
}

absl::StatusOr<std::vector<Revocation>> Reader::Revocations(std::int64_t after,
                                                            std::size_t limit) const {
  return ListRecords<Revocation>(store_, kRevocations, RevocationKey(after), limit,
                                 DecodeRevocation);
}

absl::StatusOr<std::vector<AuditEntry>> Reader::Entries(std::int64_t after,
                                                        std::size_t limit) const {
  return ListRecords<AuditEntry>(store_, kAudit, AuditKey(after), limit, DecodeEntry);
}

absl::StatusOr<std::vector<Document>> Reader::Documents(const std::string& prefix,
                                                        const std::string& after,
                                                        std::size_t limit) const {
  ASSIGN_OR_RETURN(std::vector<Stored> page,
                   store_.List(DocumentKey(prefix), DocumentKey(after), limit));
  std::vector<Document> documents;
  for (Stored& stored : page) documents.push_back(ToDocument(std::move(stored)));
  return documents;
}

absl::StatusOr<Reader::Pruned> Reader::FindPruned() const {
  ASSIGN_OR_RETURN(const std::optional<Stored> stored, store_.Get(kPruned));
  if (!stored) return Pruned{};
  ASSIGN_OR_RETURN(const std::int64_t sequence, DecodePruned(stored->value));
  return Pruned{.sequence = sequence, .revision = stored->revision};
}

absl::StatusOr<Reader::Head> Reader::FindHead() const {
  ASSIGN_OR_RETURN(const std::optional<Stored> stored, store_.Get(kHeadKey));
  if (stored) {
    ASSIGN_OR_RETURN(AuditHead head, DecodeHead(stored->value));
    return Head{.head = std::move(head), .revision = stored->revision};
  }
  ASSIGN_OR_RETURN(const std::vector<Stored> entries, store_.List(kAudit, "", 1));
  if (entries.empty()) return Head{.head = FirstHead()};
  // The head may have come, with its first entry, since it was looked for.
  ASSIGN_OR_RETURN(const std::optional<Stored> again, store_.Get(kHeadKey));
  if (again) return FindHead();
  return absl::DataLossError(
      absl::StrCat("the audit log has ", entries[0].key, ", but its head is missing"));
}

}  // namespace tombolo::ca
