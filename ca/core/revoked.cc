// SPDX-License-Identifier: Apache-2.0
#include "core/revoked.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/spiffe_id.h"
#include "base/status_macros.h"
#include "core/place.h"
#include "core/trust_state.h"
#include "tls/certificate_facts.h"
#include "tls/serial.h"

namespace tombolo::ca {
namespace {

constexpr std::size_t kPage = 500;
constexpr std::size_t kSeriesDigits = tls::Serial::kSeriesDigits;

absl::Status NotA(absl::string_view text, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("'", text, "' is not ", what));
}

std::string PlaceOfText(const std::string& id) {
  const absl::StatusOr<SpiffeId> node = SpiffeId::Parse(id);
  return node.ok() ? PlaceOf(*node) : "";
}

std::string ClusterOf(const std::string& subject) {
  const absl::StatusOr<SpiffeId> id = SpiffeId::Parse(subject);
  return id.ok() ? std::string(id->name().cluster) : "";
}

// What a certificate has to have for a revocation to be about it: one of these.
std::vector<std::string> HandlesOf(const Certificate& certificate) {
  return {absl::StrCat("id ", certificate.subject), absl::StrCat("node ", certificate.node),
          absl::StrCat("cluster ", ClusterOf(certificate.subject)),
          absl::StrCat("serial ", certificate.serial)};
}

std::vector<std::string> HandlesOf(const Revocation& revocation) {
  switch (revocation.kind) {
    case Kind::kWorkload:
      return {absl::StrCat("id ", revocation.subject)};
    case Kind::kNode:
      return {absl::StrCat("id ", revocation.subject),
              absl::StrCat("node ", PlaceOfText(revocation.subject))};
    case Kind::kCluster:
      return {absl::StrCat("cluster ", revocation.subject)};
    case Kind::kSerial:
      return {absl::StrCat("serial ", revocation.subject)};
  }
  return {};
}

absl::Status NoLeafs(const std::string& serial, absl::string_view whose) {
  return NotA(serial, absl::StrCat("a leaf's, but of '", whose,
                                   "', and agents look at leaves' alone: 'revoke cluster' ends all "
                                   "that an authority has signed, a rotation of the root its key"));
}

// Only serial numbers of leaves are looked at. What is not known is revoked all the same: its
// record may have gone. Authorities are known by the trust document, too, from before they were
// recorded when they came from elsewhere.
absl::Status CheckIsLeaf(const std::string& serial, const Reader& reader) {
  ASSIGN_OR_RETURN(const std::optional<Certificate> certificate, reader.FindCertificate(serial));
  if (certificate && !SpiffeId::Parse(certificate->subject).ok()) {
    return NoLeafs(serial, certificate->subject);
  }
  ASSIGN_OR_RETURN(const std::optional<Document> document, reader.FindDocument(kTrustDocument));
  if (!document) return absl::OkStatus();
  ASSIGN_OR_RETURN(const TrustState trust, DecodeTrustState(document->value));
  for (const TrustRoot& root : trust.roots) {
    ASSIGN_OR_RETURN(const auto facts, tls::FactsOf(root.certificate, "root"));
    if (facts[0].serial == serial) return NoLeafs(serial, "a root");
  }
  for (const TrustAuthority& authority : trust.authorities) {
    ASSIGN_OR_RETURN(const auto facts, tls::FactsOf(authority.chain, "authority"));
    for (const tls::CertificateFacts& one : facts) {
      if (one.serial != serial) continue;
      return NoLeafs(serial, absl::StrCat("intermediate ", authority.cluster));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> RevocationSubject(Kind kind, absl::string_view text,
                                              absl::string_view trust_domain) {
  if (kind == Kind::kSerial) {
    ASSIGN_OR_RETURN(const tls::Serial serial, tls::Serial::FromHex(text));
    return serial.hex();
  }
  if (kind == Kind::kCluster) {
    RETURN_IF_ERROR(SpiffeId::ForNode(trust_domain, text, "any").status());
    return std::string(text);
  }
  const bool node = kind == Kind::kNode;
  absl::StatusOr<SpiffeId> place = AgentAt(trust_domain, text);
  if (!node || !place.ok()) place = SpiffeId::Parse(text);
  ASSIGN_OR_RETURN(const SpiffeId id, std::move(place));
  if (id.trust_domain() != trust_domain) return NotA(text, absl::StrCat("of ", trust_domain));
  const bool agent = !PlaceOf(id).empty();
  if (node && !agent) {
    return NotA(
        text, "a node or gateway: <cluster>/<node>, <cluster>/gateway/<gateway>, or its SPIFFE ID");
  }
  if (!node && (agent || id.name().kind == SpiffeId::Kind::kTrustDomain)) {
    return NotA(text, "the SPIFFE ID of a workload");
  }
  return id.text();
}

absl::Status CheckMayBeRevoked(Kind kind, absl::string_view subject, const Reader& reader) {
  if (kind == Kind::kSerial) return CheckIsLeaf(absl::AsciiStrToLower(subject), reader);
  const absl::StatusOr<SpiffeId> id = SpiffeId::Parse(subject);
  if (kind != Kind::kWorkload || !id.ok() || id->name().kind != SpiffeId::Kind::kAuthority) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      "this is the authority itself: every agent would refuse every replica, and hear of nothing "
      "any more. What a server may have lost goes by 'revoke serial' or a rotation of the root");
}

std::vector<tls::RevokedCertificate> Revoked::ListOf(absl::string_view issuer_key) const {
  std::vector<tls::RevokedCertificate> list;
  for (const Entry& entry : certificates) {
    if (entry.issuer_key == issuer_key)
      list.push_back({.serial = entry.serial, .when = entry.when});
  }
  return list;
}

absl::StatusOr<Revoked> RevokedReader::Read(const Reader& reader, WallTime now) {
  ASSIGN_OR_RETURN(std::vector<Known> fresh, Update(reader));
  RETURN_IF_ERROR(FindCertificates(fresh, reader, now));
  for (Known& known : fresh) {
    const std::int64_t sequence = known.revocation.sequence;
    known_.emplace(sequence, std::move(known));
  }
  return Together(now);
}

absl::StatusOr<Revoked> RevokedReader::ReadWith(const Revocation& planned, const Reader& reader,
                                                WallTime now) {
  RETURN_IF_ERROR(Read(reader, now).status());
  std::vector<Known> fresh = {{.revocation = planned, .certificates = {}}};
  RETURN_IF_ERROR(FindCertificates(fresh, reader, now));
  RevokedReader with = *this;
  with.known_.emplace(kMaxSequence, std::move(fresh[0]));
  return with.Together(now);
}

absl::StatusOr<Revoked> RevokedReader::ReadWithout(const Revocation& planned, const Reader& reader,
                                                   WallTime now) {
  RETURN_IF_ERROR(Read(reader, now).status());
  RevokedReader without = *this;
  std::erase_if(without.known_, [&planned](const auto& known) {
    const Revocation& one = known.second.revocation;
    return one.kind == planned.kind && one.subject == planned.subject;
  });
  return without.Together(now);
}

// What a revoked cluster says already is not said again: it makes room.
Revoked RevokedReader::Together(WallTime now) const {
  Revoked revoked;
  for (const auto& [sequence, known] : known_) {
    if (known.revocation.kind == Kind::kCluster) {
      revoked.set.clusters.insert(known.revocation.subject);
    }
  }
  for (const auto& [sequence, known] : known_) Add(known, now, revoked);
  // A certificate may be revoked for several reasons. The first one counts.
  std::set<std::string> seen;
  std::erase_if(revoked.certificates,
                [&](const Revoked::Entry& entry) { return !seen.insert(entry.serial).second; });
  return revoked;
}

// Those that are new. Forgets what has been taken back.
absl::StatusOr<std::vector<RevokedReader::Known>> RevokedReader::Update(const Reader& reader) {
  std::map<std::int64_t, Known> still;
  std::vector<Known> fresh;
  for (std::int64_t after = 0;;) {
    ASSIGN_OR_RETURN(std::vector<Revocation> page, reader.Revocations(after, kPage));
    for (Revocation& one : page) {
      after = one.sequence;
      const auto known = known_.find(one.sequence);
      if (known != known_.end() && known->second.revocation == one) {
        still.insert(known_.extract(known));
      } else {
        fresh.push_back({.revocation = std::move(one), .certificates = {}});
      }
    }
    if (page.size() < kPage) break;
  }
  known_ = std::move(still);
  return fresh;
}

// Of all of them together, as that reads every record.
absl::Status RevokedReader::FindCertificates(std::vector<Known>& fresh, const Reader& reader,
                                             WallTime now) const {
  if (fresh.empty()) return absl::OkStatus();
  absl::flat_hash_map<std::string, std::vector<Known*>> wanted;
  for (Known& known : fresh) {
    for (std::string& handle : HandlesOf(known.revocation)) wanted[handle].push_back(&known);
  }
  return reader.ForEachValid(now, [&wanted](const Certificate& certificate) {
    for (const std::string& handle : HandlesOf(certificate)) {
      const auto found = wanted.find(handle);
      if (found == wanted.end()) continue;
      for (Known* known : found->second) {
        known->certificates.push_back({.serial = certificate.serial,
                                       .issuer_key = certificate.issuer_key,
                                       .when = known->revocation.time,
                                       .not_after = certificate.not_after});
      }
    }
  });
}

// What has expired is on no list of certificates: it is left out without a new number of the
// bundle.
void RevokedReader::Add(const Known& known, WallTime now, Revoked& revoked) const {
  const Revocation& revocation = known.revocation;
  const bool said = revoked.set.clusters.contains(ClusterOf(revocation.subject));
  switch (revocation.kind) {
    case Kind::kWorkload:
      if (!said) revoked.set.ids.insert(revocation.subject);
      break;
    case Kind::kNode:
      if (!said) revoked.set.ids.insert(revocation.subject);
      // It may have been given identities of other clusters.
      revoked.set.series.insert(tls::Serial::SeriesText(revocation.subject));
      break;
    case Kind::kCluster:
      break;
    case Kind::kSerial:
      // Whether the ledger knows it or not; and after its time, too: a connection may last longer.
      revoked.set.serials.insert(revocation.subject);
      break;
  }
  for (const Revoked::Entry& entry : known.certificates) {
    if (entry.not_after <= now) continue;
    revoked.certificates.push_back(entry);
    if (revocation.kind != Kind::kNode) continue;
    const bool older = !revoked.set.series.contains(entry.serial.substr(0, kSeriesDigits));
    if (older) revoked.set.serials.insert(entry.serial);  // than the series
  }
}

}  // namespace tombolo::ca
