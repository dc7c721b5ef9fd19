// SPDX-License-Identifier: Apache-2.0
#include "source/directory_keys.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "source/values.h"

namespace tombolo::source {
namespace {

using Kind = DirectoryKey::Kind;
using Parts = std::vector<absl::string_view>;

constexpr std::size_t kMaxKey = 512;
constexpr absl::string_view kClusters = "clusters/";

// What the words of a key say it is. The names in it are not looked at.
bool Assign(const Parts& part, DirectoryKey& key) {
  const auto is = [&](std::size_t size, absl::string_view first) {
    return part.size() == size && part[0] == first;
  };
  if (is(3, "admin") && part[1] == "clusters") {
    key = {.kind = Kind::kClusterGrant, .cluster = std::string(part[2])};
  } else if (is(3, "admin") && part[1] == "namespaces") {
    key = {.kind = Kind::kNamespaceGrant, .ns = std::string(part[2])};
  } else if (is(3, "clusters") && part[2] == "cluster") {
    key = {.kind = Kind::kCluster, .cluster = std::string(part[1])};
  } else if (is(3, "clusters") && part[2] == "publisher") {
    key = {.kind = Kind::kPublisher, .cluster = std::string(part[1])};
  } else if (is(4, "clusters") && part[2] == "gateways") {
    key = {.kind = Kind::kGateway, .cluster = std::string(part[1]), .name = std::string(part[3])};
  } else if (is(5, "clusters") && (part[2] == "services" || part[2] == "vips")) {
    key = {.kind = part[2] == "vips" ? Kind::kVips : Kind::kService,
           .cluster = std::string(part[1]),
           .ns = std::string(part[3]),
           .name = std::string(part[4])};
  } else {
    return false;
  }
  return true;
}

bool IsLabelOrAbsent(const std::string& text, bool wanted) {
  return wanted ? ParseLabel(text).ok() : text.empty();
}

bool NamesAreLabels(const DirectoryKey& key) {
  const bool service = key.kind == Kind::kService || key.kind == Kind::kVips;
  const bool ns = service || key.kind == Kind::kNamespaceGrant;
  return IsLabelOrAbsent(key.cluster, key.kind != Kind::kNamespaceGrant) &&
         IsLabelOrAbsent(key.ns, ns) &&
         IsLabelOrAbsent(key.name, service || key.kind == Kind::kGateway);
}

}  // namespace

std::string ClusterKeys(absl::string_view cluster) { return absl::StrCat(kClusters, cluster, "/"); }

std::string DirectoryKey::Text() const {
  const std::string own = ClusterKeys(cluster);
  switch (kind) {
    case Kind::kClusterGrant:
      return absl::StrCat(kAdminKeys, "clusters/", cluster);
    case Kind::kNamespaceGrant:
      return absl::StrCat(kAdminKeys, "namespaces/", ns);
    case Kind::kCluster:
      return absl::StrCat(own, "cluster");
    case Kind::kGateway:
      return absl::StrCat(own, "gateways/", name);
    case Kind::kService:
      return absl::StrCat(own, "services/", ns, "/", name);
    case Kind::kVips:
      return absl::StrCat(own, "vips/", ns, "/", name);
    case Kind::kPublisher:
      return absl::StrCat(own, "publisher");
  }
  return "";
}

absl::StatusOr<DirectoryKey> ParseDirectoryKey(absl::string_view text) {
  DirectoryKey key;
  if (text.size() > kMaxKey || !Assign(absl::StrSplit(text, '/'), key)) {
    return BadValue(text, "is not a key of the directory");
  }
  if (!NamesAreLabels(key)) {
    return BadValue(text, "is a key of the directory with a name that is not a DNS label");
  }
  return key;
}

absl::string_view WriterOf(absl::string_view key) {
  if (!absl::ConsumePrefix(&key, kClusters)) return {};
  const std::size_t slash = key.find('/');
  return slash == absl::string_view::npos ? absl::string_view() : key.substr(0, slash);
}

}  // namespace tombolo::source
