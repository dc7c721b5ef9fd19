// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "store/store.h"

namespace tombolo::ca {

// Where an authority's store is: exactly one of the two.
struct StoreConfig {
  struct Etcd {
    std::vector<std::string> endpoints{};  // https://host[:port]; http:// on loopback only
    std::string prefix = "/tombolo/";      // of every key; another one for every authority
    // PEM files, read once. `ca` vouches for the members, and is needed for https;
    // `certificate` and `key` are for etcd's --client-cert-auth, both or neither.
    std::string ca{}, certificate{}, key{};
  };
  std::string sqlite{};  // the path of a file
  std::optional<Etcd> etcd{};
};

// Two values of it, checked: InvalidArgument quotes them.
absl::StatusOr<std::string> ParseEtcdEndpoint(absl::string_view url);
absl::StatusOr<std::string> ParseEtcdPrefix(absl::string_view prefix);

// InvalidArgument: not a configuration. PermissionDenied: others may read the key, or
// the file. Otherwise as the stores' own Open(); etcd itself is not asked yet.
absl::StatusOr<std::unique_ptr<Store>> OpenStore(const StoreConfig& config);

}  // namespace tombolo::ca
