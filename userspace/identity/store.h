// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/spiffe_id.h"
#include "mesh/snapshot.h"
#include "tls/credentials.h"
#include "tls/revocations.h"

namespace tombolo::identity {

// Where the SVIDs of this node's workloads are:
// <svids>/<namespace>/<service-account>/{svid.pem,key.pem}.
struct Files {
  std::string svids;   // directory
  std::string bundle;  // file
};

// The credentials of every workload of one node. Immutable; threads share it.
class Store {
 public:
  struct Entry {
    tls::CredentialsPtr credentials;        // null: none could be had yet
    absl::Status error;                     // why the newest files could not be used
    std::array<std::uint8_t, 32> digest{};  // of the files that credentials came from
  };

  // Reads the files of every workload of `cluster`/`node`. What cannot be read or
  // is not valid keeps what `previous` held for that identity (until it expires)
  // and carries the error; it never becomes another identity. Files that have not
  // changed give the same Credentials object as before. What is revoked keeps
  // nothing.
  static std::shared_ptr<const Store> Load(const Files& files, const mesh::Snapshot& snapshot,
                                           const std::string& cluster, const std::string& node,
                                           const Store* previous);

  // The same for one identity, whose files are <directory>/{svid.pem,key.pem}.
  static std::shared_ptr<const Store> LoadOne(const std::string& directory,
                                              const std::string& bundle, const SpiffeId& id,
                                              const Store* previous);

  // The same from what is in memory.
  static std::shared_ptr<const Store> From(std::map<SpiffeId, Entry> entries,
                                           tls::Revocations revocations);

  // Whether the trust bundle revokes a certificate of `id`: Unauthenticated. For
  // connections that run; handshakes ask by themselves.
  absl::Status CheckRevoked(const SpiffeId& id, absl::string_view serial) const {
    return revocations_.Check(id, serial);
  }

  // Null when there are none, or they have expired (a caller that has none fails closed).
  tls::CredentialsPtr Find(const SpiffeId& id) const;

  const std::map<SpiffeId, Entry>& entries() const { return entries_; }

 private:
  std::map<SpiffeId, Entry> entries_;
  tls::Revocations revocations_;
};

using StorePtr = std::shared_ptr<const Store>;

}  // namespace tombolo::identity
