// SPDX-License-Identifier: Apache-2.0
#include "identity/store.h"

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
#include "tls/digest.h"

namespace tombolo::identity {
namespace {

constexpr std::size_t kMaxFileSize = 1 << 20;

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return ErrnoStatus(errno, absl::StrCat("open '", path, "'"));
  std::string text(kMaxFileSize + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  if (text.size() > kMaxFileSize) {
    return absl::InvalidArgumentError(absl::StrCat("'", path, "' is larger than 1 MiB"));
  }
  return text;
}

absl::StatusOr<tls::Credentials::Pem> ReadPem(const Files& files, const mesh::Workload& workload) {
  const std::string directory =
      absl::StrCat(files.svids, "/", workload.ns, "/", workload.service_account);
  tls::Credentials::Pem pem;
  pem.chain_name = absl::StrCat(directory, "/svid.pem");
  pem.key_name = absl::StrCat(directory, "/key.pem");
  pem.bundle_name = files.bundle;
  ASSIGN_OR_RETURN(pem.chain, ReadFile(pem.chain_name));
  ASSIGN_OR_RETURN(pem.key, ReadFile(pem.key_name));
  ASSIGN_OR_RETURN(pem.bundle, ReadFile(pem.bundle_name));
  return pem;
}

// An entry with credentials, or why there are none. `previous` may be null.
absl::StatusOr<Store::Entry> LoadOne(const Files& files, const mesh::Workload& workload,
                                     const Store::Entry* previous) {
  ASSIGN_OR_RETURN(const tls::Credentials::Pem pem, ReadPem(files, workload));
  Store::Entry entry;
  entry.digest = tls::Sha256(absl::StrCat(pem.chain, "\n", pem.key, "\n", pem.bundle));
  if (previous != nullptr && previous->credentials != nullptr && previous->digest == entry.digest) {
    entry.credentials = previous->credentials;
    return entry;
  }
  ASSIGN_OR_RETURN(entry.credentials, tls::Credentials::FromPem(pem));
  if (entry.credentials->id() != workload.id) {
    return absl::InvalidArgumentError(absl::StrCat(pem.chain_name, ": is the SVID of '",
                                                   entry.credentials->id().text(), "', not of '",
                                                   workload.id.text(), "'"));
  }
  return entry;
}

}  // namespace

std::shared_ptr<const Store> Store::Load(const Files& files, const mesh::Snapshot& snapshot,
                                         const std::string& cluster, const std::string& node,
                                         const Store* previous) {
  auto store = std::make_shared<Store>();
  for (const mesh::Workload& workload : snapshot.workloads) {
    if (workload.cluster != cluster || workload.node != node) continue;
    if (store->entries_.contains(workload.id)) continue;  // pods of one service account
    const Entry* before = nullptr;
    if (previous != nullptr) {
      const auto found = previous->entries_.find(workload.id);
      if (found != previous->entries_.end()) before = &found->second;
    }
    absl::StatusOr<Entry> entry = LoadOne(files, workload, before);
    if (!entry.ok()) {
      Entry kept;
      if (before != nullptr) kept = *before;
      kept.error = entry.status();
      entry = std::move(kept);
    }
    store->entries_.emplace(workload.id, *std::move(entry));
  }
  return store;
}

tls::CredentialsPtr Store::Find(const SpiffeId& id) const {
  const auto found = entries_.find(id);
  if (found == entries_.end() || found->second.credentials == nullptr) return nullptr;
  const tls::CredentialsPtr& credentials = found->second.credentials;
  return std::chrono::system_clock::now() < credentials->not_after() ? credentials : nullptr;
}

}  // namespace tombolo::identity
