// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

// The keys of the directory in etcd, below its prefix (docs/across-clusters.md).
namespace tombolo::source {

struct DirectoryKey {
  enum class Kind {
    kClusterGrant,    // admin/clusters/<cluster>
    kNamespaceGrant,  // admin/namespaces/<namespace>
    kCluster,         // clusters/<cluster>/cluster
    kGateway,         // clusters/<cluster>/gateways/<name>
    kService,         // clusters/<cluster>/services/<namespace>/<name>
    kVips,            // clusters/<cluster>/vips/<namespace>/<name>
    kPublisher,       // clusters/<cluster>/publisher
  };
  Kind kind = Kind::kCluster;
  std::string cluster{};  // of all but kNamespaceGrant
  std::string ns{};       // of kNamespaceGrant, kService, kVips
  std::string name{};     // of kGateway, kService, kVips

  // As it is written. The parts have to be labels.
  std::string Text() const;

  friend bool operator==(const DirectoryKey&, const DirectoryKey&) = default;
  friend auto operator<=>(const DirectoryKey&, const DirectoryKey&) = default;
};

// InvalidArgument quotes a key that is none of the above, or whose parts are no labels.
absl::StatusOr<DirectoryKey> ParseDirectoryKey(absl::string_view text);

// What an administrator writes, and what the members of one cluster write.
inline constexpr char kAdminKeys[] = "admin/";
std::string ClusterKeys(absl::string_view cluster);  // "clusters/<cluster>/"

// Whose a key is, as etcd's permissions see it, be the rest of it right or not: the name in
// clusters/<name>/, otherwise "".
absl::string_view WriterOf(absl::string_view key);

}  // namespace tombolo::source
