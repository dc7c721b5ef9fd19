// SPDX-License-Identifier: Apache-2.0
#include "core/issuance.h"

#include <algorithm>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"
#include "core/place.h"
#include "tls/digest.h"
#include "tls/serial.h"
#include "tls/validity.h"

namespace tombolo::ca {
namespace {

Certificate RecordOf(const tls::Issuer& issuer, const tls::Serial& serial, std::string subject,
                     const tls::Validity& validity) {
  return {.serial = serial.hex(),
          .subject = std::move(subject),
          .not_before = validity.not_before,
          .not_after = validity.not_after,
          .issuer_key = tls::Hex(issuer.public_key().id())};
}

// What is issued for one node is one series: who revokes the node revokes all of it, also what has
// expired and still has a connection.
absl::StatusOr<tls::Serial> LeafSerial(const std::string& trust_domain, const std::string& node) {
  if (node.empty()) return tls::Serial::Random();
  ASSIGN_OR_RETURN(const SpiffeId id, AgentAt(trust_domain, node));
  return tls::Serial::RandomOf(id.text());
}

// Certificates know seconds.
WallTime WholeSeconds(WallTime time) {
  return std::chrono::time_point_cast<std::chrono::seconds>(time);
}

}  // namespace

absl::StatusOr<Issuance> IssueLeaf(const tls::Issuer& issuer, const LeafOrder& order,
                                   std::chrono::seconds ttl, WallTime now) {
  const tls::Validity validity{.not_before = WholeSeconds(now) - tls::Validity::kBackdate,
                               .not_after = std::min(WholeSeconds(now) + ttl, issuer.not_after())};
  if (validity.not_after <= now) {
    return absl::FailedPreconditionError("the authority's certificate has expired");
  }
  ASSIGN_OR_RETURN(const tls::Serial serial, LeafSerial(issuer.trust_domain(), order.node));
  Issuance made;
  ASSIGN_OR_RETURN(made.leaf, issuer.IssueLeaf({.id = order.id,
                                                .key = order.key,
                                                .validity = validity,
                                                .serial = serial,
                                                .hosts = order.hosts}));
  made.chain = issuer.chain();
  made.record = RecordOf(issuer, serial, order.id.text(), validity);
  made.record.requester = order.requester;
  made.record.node = order.node;
  ASSIGN_OR_RETURN(made.record.certificate, Fingerprint(made.leaf));
  return made;
}

absl::StatusOr<Issuance> IssueAuthority(const tls::Issuer& root, const std::string& cluster,
                                        const tls::PublicKey& key, WallTime now) {
  const tls::Serial serial = tls::Serial::Random();
  const tls::Validity validity{.not_before = WholeSeconds(now) - tls::Validity::kBackdate,
                               .not_after = root.not_after()};
  Issuance made;
  ASSIGN_OR_RETURN(made.leaf,
                   root.IssueIntermediate(
                       {.key = key, .cluster = cluster, .validity = validity, .serial = serial}));
  made.chain = root.chain();
  made.record = RecordOf(root, serial, absl::StrCat("intermediate ", cluster), validity);
  ASSIGN_OR_RETURN(made.record.certificate, Fingerprint(made.leaf));
  return made;
}

absl::StatusOr<std::string> Fingerprint(const std::string& pem) {
  std::string base64;
  for (const absl::string_view line : absl::StrSplit(pem, '\n')) {
    if (!absl::StartsWith(line, "-----")) absl::StrAppend(&base64, line);
  }
  std::string der;
  if (!absl::Base64Unescape(base64, &der)) return absl::InternalError("not a certificate in PEM");
  return DigestHex(der);
}

}  // namespace tombolo::ca
