// SPDX-License-Identifier: Apache-2.0
#include "ledger/records.h"

#include <array>
#include <utility>

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/json_fields.h"
#include "base/status_macros.h"
#include "tls/digest.h"

namespace tombolo::ca {
namespace {

namespace json = boost::json;

constexpr std::array<std::pair<Kind, absl::string_view>, 4> kKinds{{
    {Kind::kWorkload, "workload"},
    {Kind::kNode, "node"},
    {Kind::kCluster, "cluster"},
    {Kind::kSerial, "serial"},
}};

absl::StatusOr<Kind> ParseKind(const std::string& key, absl::string_view text) {
  for (const auto& [kind, name] : kKinds) {
    if (name == text) return kind;
  }
  return absl::DataLossError(absl::StrCat(key, ": unknown 'kind': '", text, "'"));
}

std::string Text(const Certificate& certificate) {
  json::object object;
  object["serial"] = certificate.serial;
  object["subject"] = certificate.subject;
  object["not_before"] = TimeText(certificate.not_before);
  object["not_after"] = TimeText(certificate.not_after);
  object["issuer_key"] = certificate.issuer_key;
  object["requester"] = certificate.requester;
  object["node"] = certificate.node;
  object["certificate"] = certificate.certificate;
  object["sequence"] = certificate.sequence;
  return json::serialize(object);
}

std::string Text(const Token& token) {
  json::object object;
  object["digest"] = token.digest;
  object["kind"] = std::string(KindText(token.kind));
  object["subject"] = token.subject;
  object["expires"] = TimeText(token.expires);
  object["spent"] = token.spent;
  object["serial"] = token.serial;
  if (!token.key.empty()) object["key"] = token.key;
  return json::serialize(object);
}

std::string Text(const Revocation& revocation) {
  json::object object;
  object["kind"] = std::string(KindText(revocation.kind));
  object["subject"] = revocation.subject;
  object["reason"] = revocation.reason;
  object["time"] = TimeText(revocation.time);
  object["sequence"] = revocation.sequence;
  return json::serialize(object);
}

// A record under another's key, or one with a field twice, is as wrong as one
// that cannot be read.
template <typename Record>
absl::StatusOr<Record> Checked(Record record, const std::string& key, const std::string& own_key,
                               absl::string_view value) {
  if (key != own_key) {
    return absl::DataLossError(absl::StrCat(key, ": holds the record of ", own_key));
  }
  if (Text(record) != value) return NotCanonical(key);
  return record;
}

// What could not be read again is not written.
template <typename Record>
absl::StatusOr<std::string> Encoded(const Record& record, const std::string& key,
                                    absl::StatusOr<Record> (*decode)(const std::string&,
                                                                     absl::string_view)) {
  std::string text = Text(record);
  const absl::Status read = decode(key, text).status();
  if (!read.ok()) return absl::InvalidArgumentError(read.message());
  return text;
}

}  // namespace

absl::string_view KindText(Kind kind) {
  for (const auto& [known, name] : kKinds) {
    if (known == kind) return name;
  }
  return "";
}

bool PaysAgain(const Token& token, absl::string_view key) {
  return token.spent && !token.key.empty() && token.key == key;
}

std::string CertificateKey(absl::string_view serial) { return absl::StrCat(kCertificates, serial); }
std::string TokenKey(absl::string_view digest) { return absl::StrCat(kTokens, digest); }
std::string RevocationKey(std::int64_t sequence) {
  return absl::StrCat(kRevocations, SequenceText(sequence));
}
std::string DocumentKey(absl::string_view name) { return absl::StrCat(kDocuments, name); }

absl::StatusOr<std::string> Encode(const Certificate& certificate) {
  return Encoded(certificate, CertificateKey(certificate.serial), DecodeCertificate);
}

absl::StatusOr<std::string> Encode(const Token& token) {
  return Encoded(token, TokenKey(token.digest), DecodeToken);
}

absl::StatusOr<std::string> Encode(const Revocation& revocation) {
  return Encoded(revocation, RevocationKey(revocation.sequence), DecodeRevocation);
}

absl::StatusOr<Certificate> DecodeCertificate(const std::string& key, absl::string_view value) {
  JsonFields fields(value, key);
  Certificate certificate;
  certificate.serial = fields.Text("serial");
  certificate.subject = fields.Text("subject");
  certificate.not_before = fields.Time("not_before");
  certificate.not_after = fields.Time("not_after");
  certificate.issuer_key = fields.Text("issuer_key");
  certificate.requester = fields.Text("requester");
  certificate.node = fields.Text("node");
  certificate.certificate = fields.Text("certificate");
  certificate.sequence = fields.Number("sequence");
  RETURN_IF_ERROR(fields.Finish());
  const std::string own_key = CertificateKey(certificate.serial);
  return Checked(std::move(certificate), key, own_key, value);
}

absl::StatusOr<Token> DecodeToken(const std::string& key, absl::string_view value) {
  JsonFields fields(value, key);
  Token token;
  token.digest = fields.Text("digest");
  const std::string kind = fields.Text("kind");
  token.subject = fields.Text("subject");
  token.expires = fields.Time("expires");
  token.spent = fields.Flag("spent");
  token.serial = fields.Text("serial");
  if (fields.Has("key")) token.key = fields.Text("key");
  RETURN_IF_ERROR(fields.Finish());
  ASSIGN_OR_RETURN(token.kind, ParseKind(key, kind));
  const std::string own_key = TokenKey(token.digest);
  return Checked(std::move(token), key, own_key, value);
}

absl::StatusOr<Revocation> DecodeRevocation(const std::string& key, absl::string_view value) {
  JsonFields fields(value, key);
  Revocation revocation;
  const std::string kind = fields.Text("kind");
  revocation.subject = fields.Text("subject");
  revocation.reason = fields.Text("reason");
  revocation.time = fields.Time("time");
  revocation.sequence = fields.Number("sequence");
  RETURN_IF_ERROR(fields.Finish());
  ASSIGN_OR_RETURN(revocation.kind, ParseKind(key, kind));
  const std::string own_key = RevocationKey(revocation.sequence);
  return Checked(std::move(revocation), key, own_key, value);
}

bool SaysExpired(absl::string_view value, WallTime now) {
  constexpr absl::string_view kField = R"("not_after":")";
  const std::size_t at = value.find(kField);
  if (at == value.npos) return false;
  // As text, times sort as they are down to the second, which is not over yet.
  constexpr std::size_t kSeconds = sizeof("2026-11-27T22:04:05") - 1;
  const absl::string_view said = value.substr(at + kField.size(), kSeconds);
  return said.size() == kSeconds && said < TimeText(now).substr(0, kSeconds);
}

std::string EncodePruned(std::int64_t sequence) {
  return json::serialize(json::object{{"sequence", sequence}});
}

absl::StatusOr<std::int64_t> DecodePruned(absl::string_view value) {
  JsonFields fields(value, kPruned);
  const std::int64_t sequence = fields.Number("sequence");
  RETURN_IF_ERROR(fields.Finish());
  if (EncodePruned(sequence) != value) return NotCanonical(kPruned);
  return sequence;
}

std::string SequenceText(std::int64_t sequence) { return absl::StrFormat("%020d", sequence); }

std::string DigestHex(absl::string_view data) { return tls::Hex(tls::Sha256(data)); }

absl::Status NotCanonical(absl::string_view key) {
  return absl::DataLossError(absl::StrCat(key, ": not written as the authority writes it"));
}

}  // namespace tombolo::ca
