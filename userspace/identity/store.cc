// SPDX-License-Identifier: Apache-2.0
#include "identity/store.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "base/status_macros.h"
#include "tls/digest.h"
#include "tls/handshake_failure.h"
#include "tls/trust_bundle.h"

namespace tombolo::identity {
namespace {

constexpr std::size_t kMaxPemSize = 1 << 20;

// Where one identity's files are.
struct Place {
  const std::string& directory;
  const std::string& bundle;
  const SpiffeId& id;
};

absl::StatusOr<tls::Credentials::Pem> ReadPem(const Place& place) {
  tls::Credentials::Pem pem;
  pem.chain_name = absl::StrCat(place.directory, "/svid.pem");
  pem.key_name = absl::StrCat(place.directory, "/key.pem");
  pem.bundle_name = place.bundle;
  ASSIGN_OR_RETURN(pem.chain, ReadFile(pem.chain_name, kMaxPemSize));
  ASSIGN_OR_RETURN(pem.key, ReadFile(pem.key_name, kMaxPemSize));
  ASSIGN_OR_RETURN(pem.bundle, ReadFile(place.bundle, tls::kMaxTrustBundleSize));
  return pem;
}

// An entry with credentials, or why there are none. `previous` may be null.
absl::StatusOr<Store::Entry> LoadEntry(const Place& place, const Store::Entry* previous) {
  ASSIGN_OR_RETURN(const tls::Credentials::Pem pem, ReadPem(place));
  Store::Entry entry;
  entry.digest = tls::Sha256(absl::StrCat(pem.chain, "\n", pem.key, "\n", pem.bundle));
  if (previous != nullptr && previous->credentials != nullptr && previous->digest == entry.digest) {
    entry.credentials = previous->credentials;
    return entry;
  }
  ASSIGN_OR_RETURN(entry.credentials, tls::Credentials::FromPem(pem));
  if (entry.credentials->id() != place.id) {
    return absl::InvalidArgumentError(absl::StrCat(pem.chain_name, ": is the SVID of '",
                                                   entry.credentials->id().text(), "', not of '",
                                                   place.id.text(), "'"));
  }
  return entry;
}

// What an identity has whose newest files are of no use: an SVID that is not revoked. The bundle
// that it judges its peers by may be an older one, which is why running connections and idle
// tunnels ask the Store.
Store::Entry Kept(const Store::Entry* previous, const absl::Status& error,
                  const tls::Revocations& revocations) {
  Store::Entry kept;
  if (previous != nullptr) kept = *previous;
  kept.error = error;
  if (kept.credentials == nullptr) return kept;
  const tls::Credentials& own = *kept.credentials;
  const bool revoked = tls::ReasonOf(error) == tls::HandshakeFailure::kRevoked ||
                       !revocations.Check(own.id(), own.serial()).ok();
  if (revoked) kept.credentials = nullptr;
  return kept;
}

// A bundle that cannot be read takes nothing back that an earlier one revoked.
tls::Revocations LoadRevocations(const std::string& path, const std::string& trust_domain,
                                 const tls::Revocations& previous) {
  const absl::StatusOr<std::string> text = ReadFile(path, tls::kMaxTrustBundleSize);
  if (!text.ok()) return previous;
  absl::StatusOr<tls::TrustBundle> bundle = tls::ParseTrustBundle(*text, trust_domain, path);
  return bundle.ok() ? std::move(bundle->revoked) : previous;
}

}  // namespace

std::shared_ptr<const Store> Store::From(std::map<SpiffeId, Entry> entries,
                                         tls::Revocations revocations) {
  auto store = std::make_shared<Store>();
  store->entries_ = std::move(entries);
  store->revocations_ = std::move(revocations);
  return store;
}

std::shared_ptr<const Store> Store::Load(const Files& files, const mesh::Snapshot& snapshot,
                                         const std::string& cluster, const std::string& node,
                                         const Store* previous) {
  auto store = std::make_shared<Store>();
  if (previous != nullptr) store->revocations_ = previous->revocations_;
  bool first = true;
  for (const mesh::Workload& workload : snapshot.workloads) {
    if (workload.cluster != cluster || workload.node != node) continue;
    if (std::exchange(first, false)) {
      store->revocations_ = LoadRevocations(files.bundle, std::string(workload.id.trust_domain()),
                                            store->revocations_);
    }
    if (store->entries_.contains(workload.id)) continue;  // pods of one service account
    const Entry* before = nullptr;
    if (previous != nullptr) {
      const auto found = previous->entries_.find(workload.id);
      if (found != previous->entries_.end()) before = &found->second;
    }
    const std::string directory =
        absl::StrCat(files.svids, "/", workload.ns, "/", workload.service_account);
    const Place place{directory, files.bundle, workload.id};
    absl::StatusOr<Entry> entry = LoadEntry(place, before);
    if (!entry.ok()) entry = Kept(before, entry.status(), store->revocations_);
    store->entries_.emplace(workload.id, *std::move(entry));
  }
  return store;
}

std::shared_ptr<const Store> Store::LoadOne(const std::string& directory, const std::string& bundle,
                                            const SpiffeId& id, const Store* previous) {
  auto store = std::make_shared<Store>();
  const Entry* before = nullptr;
  if (previous != nullptr) {
    store->revocations_ = previous->revocations_;
    const auto found = previous->entries_.find(id);
    if (found != previous->entries_.end()) before = &found->second;
  }
  store->revocations_ =
      LoadRevocations(bundle, std::string(id.trust_domain()), store->revocations_);
  absl::StatusOr<Entry> entry = LoadEntry({directory, bundle, id}, before);
  if (!entry.ok()) entry = Kept(before, entry.status(), store->revocations_);
  store->entries_.emplace(id, *std::move(entry));
  return store;
}

tls::CredentialsPtr Store::Find(const SpiffeId& id) const {
  const auto found = entries_.find(id);
  if (found == entries_.end() || found->second.credentials == nullptr) return nullptr;
  const tls::CredentialsPtr& credentials = found->second.credentials;
  return std::chrono::system_clock::now() < credentials->not_after() ? credentials : nullptr;
}

}  // namespace tombolo::identity
