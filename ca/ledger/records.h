// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/time.h"

// What the authority remembers, one record under one key of the store, as JSON.
// Decoding is strict: a record with a field that is missing, unknown, given twice
// or not of its type is DataLoss, and the message names the key and the field.
namespace tombolo::ca {

// What a record is about: a workload (a SPIFFE ID), a node or gateway (its name), a cluster
// (its name), or one certificate (its serial number).
enum class Kind { kWorkload, kNode, kCluster, kSerial };
absl::string_view KindText(Kind kind);

// A certificate that was issued, or an authority's that came from elsewhere. Under cert/<serial>.
struct Certificate {
  std::string serial{};   // as tls::Serial gives it; or as others have numbered it
  std::string subject{};  // the SPIFFE ID, or what it is instead: "intermediate east"
  WallTime not_before{}, not_after{};
  std::string issuer_key{};   // the id of the key that signed it
  std::string requester{};    // who asked for it
  std::string node{};         // for which node; may be empty
  std::string certificate{};  // in PEM, or its SHA-256 in hex
  std::int64_t sequence = 0;  // of its audit entry; the ledger gives it
};

// A one-time join token. Under token/<digest>.
struct Token {
  std::string digest{};     // SHA-256 of the token, in hex: the token itself is never stored
  Kind kind = Kind::kNode;  // whom it lets in: kNode or kWorkload
  std::string subject{};    // which one
  WallTime expires{};
  bool spent = false;
  std::string serial{};  // of the certificate that it paid for last
  std::string key{};     // that this is for: SHA-256 of the public key, in hex; "": not known
};

// Whether a token that has been spent may pay once more: to whoever has proved that he has the key
// that it paid for. He asks again because the answer was lost.
bool PaysAgain(const Token& token, absl::string_view key);

// Whom nobody may trust any longer. Under revocation/<sequence>, so in order.
struct Revocation {
  Kind kind = Kind::kWorkload;
  std::string subject{};
  std::string reason{};
  WallTime time{};            // the ledger gives it
  std::int64_t sequence = 0;  // of its audit entry; the ledger gives it
  friend bool operator==(const Revocation&, const Revocation&) = default;
};

std::string CertificateKey(absl::string_view serial);
std::string TokenKey(absl::string_view digest);
std::string RevocationKey(std::int64_t sequence);
std::string DocumentKey(absl::string_view name);

inline constexpr char kCertificates[] = "cert/";
inline constexpr char kTokens[] = "token/";
inline constexpr char kRevocations[] = "revocation/";
// How far the audit log has been followed to remove old records: {"sequence": <entry>}.
inline constexpr char kPruned[] = "pruned";
inline constexpr char kDocuments[] = "document/";  // the value is the document itself

// InvalidArgument for what could not be decoded again (text that is not UTF-8).
absl::StatusOr<std::string> Encode(const Certificate& certificate);
absl::StatusOr<std::string> Encode(const Token& token);
absl::StatusOr<std::string> Encode(const Revocation& revocation);

// Whether the text of a certificate's record says that it has expired: most have, and reading the
// rest of it costs more. False when it does not say.
bool SaysExpired(absl::string_view value, WallTime now);

std::string EncodePruned(std::int64_t sequence);

absl::StatusOr<std::int64_t> DecodePruned(absl::string_view value);
absl::StatusOr<Certificate> DecodeCertificate(const std::string& key, absl::string_view value);
absl::StatusOr<Token> DecodeToken(const std::string& key, absl::string_view value);
absl::StatusOr<Revocation> DecodeRevocation(const std::string& key, absl::string_view value);

// 20 digits, so that keys sort as numbers do.
std::string SequenceText(std::int64_t sequence);

// SHA-256 in hex.
std::string DigestHex(absl::string_view data);

// DataLoss: the record under `key` can be read, but is not what would be written.
absl::Status NotCanonical(absl::string_view key);

}  // namespace tombolo::ca
