// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "etcd/client.h"
#include "etcd/endpoint.h"

namespace tombolo::etcd {

inline constexpr std::size_t kMaxEndpoints = 16;

// Where an etcd is and who asks it, as configurations say.
struct Settings {
  std::vector<std::string> endpoints{};  // of one cluster: https://host[:port]; http:// on loopback
  // PEM files, read once. `ca` vouches for the members, and is needed for https;
  // `certificate` and `key` are for etcd's --client-cert-auth, both or neither.
  std::string ca{}, certificate{}, key{};
  // Whom etcd is to take this for, both or neither. The file is read whenever etcd asks.
  std::string user{}, password_file{};
};

// InvalidArgument quotes a URL that is none, or that is https:// without a CA.
absl::StatusOr<std::vector<Endpoint>> ParseEndpoints(const std::vector<std::string>& urls,
                                                     bool has_ca);

// A password: the file without the white space around it. PermissionDenied when others may
// read it.
absl::StatusOr<std::string> ReadPassword(const std::string& path);

// Reads the files, asks nobody. InvalidArgument: not a configuration. PermissionDenied: others
// may read the key or the password.
absl::StatusOr<Client::Options> Load(const Settings& settings);

}  // namespace tombolo::etcd
