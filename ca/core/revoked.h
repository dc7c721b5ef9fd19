// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/time.h"
#include "ledger/reader.h"
#include "ledger/records.h"
#include "tls/crl.h"
#include "tls/revocations.h"

namespace tombolo::ca {

// What a revocation is about, in the form of its record: a SPIFFE ID of a workload; a node's
// or gateway's SPIFFE ID, or its place (place.h); a cluster's name; a serial number.
// InvalidArgument.
absl::StatusOr<std::string> RevocationSubject(Kind kind, absl::string_view text,
                                              absl::string_view trust_domain);

// InvalidArgument for what must stay, the authority's own ID, and for what nobody would notice: the
// serial number of an authority, whoever has made it. `subject` is what an operator has written. Or
// what the store says.
absl::Status CheckMayBeRevoked(Kind kind, absl::string_view subject, const Reader& reader);

// Every revocation, and the certificates that they are about.
struct Revoked {
  struct Entry {
    std::string serial, issuer_key;
    WallTime when, not_after;
  };
  tls::Revocations set;
  std::vector<Entry> certificates;  // that have not expired, each once

  // What is on the list of the authority with this key.
  std::vector<tls::RevokedCertificate> ListOf(absl::string_view issuer_key) const;
};

// Reads them from the ledger. The certificates of a revocation are looked for once: while it is
// there nobody gets one that it would be about (Ledger::Issue with a Basis). Used by one thread at
// a time.
class RevokedReader {
 public:
  // DataLoss, or what the store says.
  absl::StatusOr<Revoked> Read(const Reader& reader, WallTime now);
  // As it would be with one more.
  absl::StatusOr<Revoked> ReadWith(const Revocation& planned, const Reader& reader, WallTime now);
  // As it would be without all of this kind and subject.
  absl::StatusOr<Revoked> ReadWithout(const Revocation& planned, const Reader& reader,
                                      WallTime now);

 private:
  struct Known {
    Revocation revocation;
    std::vector<Revoked::Entry> certificates;
  };
  absl::StatusOr<std::vector<Known>> Update(const Reader& reader);
  absl::Status FindCertificates(std::vector<Known>& fresh, const Reader& reader,
                                WallTime now) const;
  Revoked Together(WallTime now) const;
  void Add(const Known& known, WallTime now, Revoked& revoked) const;

  std::map<std::int64_t, Known> known_;  // by the revocation's sequence
};

}  // namespace tombolo::ca
