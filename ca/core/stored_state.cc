// SPDX-License-Identifier: Apache-2.0
#include "core/stored_state.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/spiffe_id.h"
#include "base/status_macros.h"
#include "core/acks.h"
#include "core/place.h"
#include "ledger/pruner.h"

namespace tombolo::ca {
namespace {

constexpr int kAttempts = 20;
constexpr std::size_t kPage = 500;

absl::StatusOr<RegisteredClusters> ReadClusters(const Reader& reader) {
  RegisteredClusters clusters;
  for (std::string after;;) {
    ASSIGN_OR_RETURN(const std::vector<Document> page,
                     reader.Documents(kClusterDocuments, after, kPage));
    for (const Document& document : page) {
      const std::string name(absl::StripPrefix(document.name, kClusterDocuments));
      RegisteredCluster cluster;
      ASSIGN_OR_RETURN(cluster.registration, DecodeClusterRegistration(name, document.value));
      cluster.known = !cluster.registration.discovery;
      if (cluster.known) {
        ASSIGN_OR_RETURN(cluster.keys, tls::JwtKeys::Parse(cluster.registration.jwks));
      }
      clusters.emplace(name, std::move(cluster));
    }
    if (page.size() < kPage) return clusters;
    after = page.back().name;
  }
}

// Where it is used. All replicas' servers are one identity, and of no node.
std::string PlaceOfUse(const Certificate& certificate) {
  const absl::StatusOr<SpiffeId> id = SpiffeId::Parse(certificate.subject);
  const bool server = id.ok() && id->name().kind == SpiffeId::Kind::kAuthority;
  return server ? certificate.requester : certificate.node;
}

// A holder's newest certificate, as far as the pages go.
struct Newest {
  RotationEvidence::Holder holder;
  std::int64_t sequence = 0;
};

bool Counts(const Certificate& certificate, const StoredState& state) {
  const absl::StatusOr<SpiffeId> id = SpiffeId::Parse(certificate.subject);
  return id.ok() && state.revoked.set.Check(*id, certificate.serial).ok();
}

// Records stay for that long, whatever they are about (pruner.h): what is not there was not made.
constexpr std::chrono::hours kLately{24};
static_assert(kLately < kRecordLife);

// The nodes that have something good, or were given something lately. Who is neither cannot renew
// anything: it has to join again.
void NoteLately(const Certificate& certificate, WallTime now, std::set<std::string>& places) {
  if (certificate.not_after <= now && certificate.not_before + kLately <= now) return;
  if (!certificate.node.empty()) places.insert(certificate.node);
  const absl::StatusOr<SpiffeId> id = SpiffeId::Parse(certificate.subject);
  if (id.ok()) places.insert(PlaceOf(*id));
}

// An authority that serves writes every now and then, and clocks differ by seconds.
constexpr std::chrono::hours kQuiet{24};
constexpr std::chrono::minutes kClocksDiffer{5};

// Whether what was not issued lately was not asked for either. It may have been when the authority
// was away, or when `now` is wrong; then nobody has expired, and everybody is waited for.
absl::StatusOr<bool> WasThereLately(const Reader& reader, WallTime now) {
  ASSIGN_OR_RETURN(const Reader::Head end, reader.FindHead());
  ASSIGN_OR_RETURN(const std::vector<AuditEntry> last, reader.Entries(end.head.sequence - 1, 1));
  if (last.empty()) return false;
  return last[0].time > now - kQuiet && last[0].time < now + kClocksDiffer;
}

// What is no node's name is nobody's.
bool MayComeBack(const std::string& node, const StoredState& state) {
  const absl::StatusOr<SpiffeId> id = AgentAt(state.trust.trust_domain, node);
  return id.ok() && state.revoked.set.Check(*id, "").ok();
}

}  // namespace

std::int64_t StoredState::sequence() const { return std::max(basis.revocation, basis.document); }

absl::StatusOr<StoredTrust> ReadTrust(const Reader& reader) {
  ASSIGN_OR_RETURN(const std::optional<Document> document, reader.FindDocument(kTrustDocument));
  if (!document) {
    return absl::NotFoundError("the store has no trust domain yet: make it by 'tombolo-ca init'");
  }
  StoredTrust trust{.trust = {}, .revision = document->revision};
  ASSIGN_OR_RETURN(trust.trust, DecodeTrustState(document->value));
  return trust;
}

absl::StatusOr<StoredState> StoredStateReader::Read(const Reader& reader, WallTime now) {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    ASSIGN_OR_RETURN(const Reader::Head before, reader.FindHead());
    StoredState state;
    ASSIGN_OR_RETURN(StoredTrust trust, ReadTrust(reader));
    state.trust = std::move(trust.trust);
    state.trust_revision = trust.revision;
    ASSIGN_OR_RETURN(state.clusters, ReadClusters(reader));
    ASSIGN_OR_RETURN(state.revoked, revoked_.Read(reader, now));
    ASSIGN_OR_RETURN(const Reader::Head after, reader.FindHead());
    state.basis = {.revocation = after.head.revocation, .document = after.head.document};
    if (before.head.revocation == after.head.revocation &&
        before.head.document == after.head.document) {
      return state;
    }
  }
  return absl::UnavailableError("documents and revocations keep changing");
}

absl::StatusOr<RotationEvidence> ReadEvidence(Store& store, const StoredState& state,
                                              WallTime now) {
  const Reader reader(store);
  std::map<std::pair<std::string, std::string>, Newest> found;
  std::set<std::string> lately;
  RETURN_IF_ERROR(reader.ForEachValid(now - kLately, [&](const Certificate& certificate) {
    NoteLately(certificate, now, lately);
    if (certificate.not_after <= now || !Counts(certificate, state)) return;
    const std::string place = PlaceOfUse(certificate);
    Newest& newest = found[{certificate.subject, place}];
    newest.holder.subject = certificate.subject;
    newest.holder.node = place;
    newest.holder.issuers.insert(certificate.issuer_key);
    if (certificate.sequence < newest.sequence) return;
    newest.sequence = certificate.sequence;
    newest.holder.newest_issuer = certificate.issuer_key;
  }));
  RotationEvidence evidence;
  for (auto& [key, newest] : found) evidence.holders.push_back(std::move(newest.holder));
  // Every bundle from the last document on has the trust state of now.
  evidence.sequence = state.basis.document;
  ASSIGN_OR_RETURN(evidence.acks, ReadAcks(store));
  std::erase_if(evidence.acks, [&](const auto& ack) { return !MayComeBack(ack.first, state); });
  ASSIGN_OR_RETURN(const bool was_there, WasThereLately(reader, now));
  if (!was_there) return evidence;
  for (const auto& [node, sequence] : evidence.acks) {
    if (!lately.contains(node)) evidence.expired.insert(node);
  }
  return evidence;
}

}  // namespace tombolo::ca
