// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/spiffe_id.h"
#include "base/time.h"
#include "net/address.h"

// What is under the keys of the directory in etcd, one record a key, as JSON.
//
// Decoding is strict, because a hostile cluster writes some of it: a field that is unknown,
// missing or not of its type, a value that cannot be, or more of anything than the limits
// allow is InvalidArgument, which names key, field and value. Whether the writer may say what
// a record says is not judged here (source/shared_directory.h). What Encode() makes, Decode()
// takes.
namespace tombolo::source {

struct DirectoryLimits {
  static constexpr std::size_t kRecordBytes = 64 * 1024;
  static constexpr std::size_t kPortsOfService = 64;
  static constexpr std::size_t kBackendsOfPort = 256;
  static constexpr std::size_t kVipsOfService = 8;
  static constexpr std::size_t kPrefixesOfCluster = 256;
  static constexpr std::size_t kViasOfCluster = 64;
  static constexpr std::size_t kClustersOfNamespace = 4096;
  static constexpr std::uint32_t kEndpointsOfBackend = 65535;
  static constexpr std::uint32_t kWeightOfEndpoint = 65535;
  // Of what one cluster says altogether, as far as others remember it.
  static constexpr std::size_t kGateways = 64;
  static constexpr std::size_t kServices = 10'000;
  static constexpr std::size_t kBackends = 50'000;
  static constexpr std::size_t kBytes = 8 * 1024 * 1024;
};

// admin/clusters/<cluster>: it is a member.
// {"gateways": ["203.0.113.0/24"], "via": ["east"], "draining": true,
//  "deadline": "2026-01-31T12:00:00Z"}
struct ClusterGrant {
  std::vector<net::Prefix> gateways{};  // where its gateways may be
  std::vector<std::string> via{};       // clusters whose gateways may hand it its tunnels
  bool draining = false;
  // Of one that drains, in whole seconds: when connections that still go there are ended.
  std::optional<WallTime> deadline{};
  friend bool operator==(const ClusterGrant&, const ClusterGrant&) = default;
};

// How a value begins of which a reader has kept no more than that it is there (etcd::Bounds).
inline constexpr char kLeftOutValue[] = "(left out";

// admin/namespaces/<namespace>: who may serve it. {"clusters": ["east", "west"]}
struct NamespaceGrant {
  std::vector<std::string> clusters{};
  friend bool operator==(const NamespaceGrant&, const NamespaceGrant&) = default;
};

// clusters/<c>/cluster: {"region": "eu-west"}
struct ClusterRecord {
  std::string region{};  // "": not known
  friend bool operator==(const ClusterRecord&, const ClusterRecord&) = default;
};

// clusters/<c>/gateways/<name>, with that gateway's lease:
// {"address": "203.0.113.10:15443", "zone": "a"}, or {"via": "east"} if nobody can dial it
struct GatewayRecord {
  net::SocketAddress address{};  // unset: `via` is there
  std::string zone{};            // "": not known
  std::string via{};
  friend bool operator==(const GatewayRecord&, const GatewayRecord&) = default;
};

// Those endpoints behind one port that have one identity.
struct Backend {
  SpiffeId identity{};
  std::uint32_t endpoints = 1;  // at least 1
  std::uint32_t ready = 0;      // of those
  std::uint32_t weight = 0;     // of the ready ones together; 0 only if none is
  friend bool operator==(const Backend&, const Backend&) = default;
};

struct ExportedPort {
  std::uint16_t port = 0;
  std::vector<Backend> backends{};  // no identity twice
  friend bool operator==(const ExportedPort&, const ExportedPort&) = default;
};

// clusters/<c>/services/<namespace>/<name>: {"ports": [{"port": 80, "backends": [
//   {"identity": "spiffe://...", "endpoints": 3, "ready": 2, "weight": 2}]}]}
struct ServiceRecord {
  std::vector<ExportedPort> ports{};  // no number twice
  friend bool operator==(const ServiceRecord&, const ServiceRecord&) = default;
};

// clusters/<c>/vips/<namespace>/<name>: what c itself calls the service that it imports.
// {"vips": ["10.112.0.7"], "unused_since": 1764288000}
struct VipsRecord {
  std::vector<net::IpAddress> vips{};
  std::int64_t unused_since = 0;  // seconds of the epoch; 0: somebody exports it
  friend bool operator==(const VipsRecord&, const VipsRecord&) = default;
};

// clusters/<c>/publisher, with a lease: the gateway that writes. {"gateway": "west-gw-1"}
struct PublisherRecord {
  std::string gateway{};
  friend bool operator==(const PublisherRecord&, const PublisherRecord&) = default;
};

std::string Encode(const ClusterGrant& record);
std::string Encode(const NamespaceGrant& record);
std::string Encode(const ClusterRecord& record);
std::string Encode(const GatewayRecord& record);
std::string Encode(const ServiceRecord& record);
std::string Encode(const VipsRecord& record);
std::string Encode(const PublisherRecord& record);

// `key` is what errors call it.
absl::StatusOr<ClusterGrant> DecodeClusterGrant(absl::string_view key, absl::string_view value);
absl::StatusOr<NamespaceGrant> DecodeNamespaceGrant(absl::string_view key, absl::string_view value);
absl::StatusOr<ClusterRecord> DecodeCluster(absl::string_view key, absl::string_view value);
absl::StatusOr<GatewayRecord> DecodeGateway(absl::string_view key, absl::string_view value);
absl::StatusOr<ServiceRecord> DecodeService(absl::string_view key, absl::string_view value);
absl::StatusOr<VipsRecord> DecodeVips(absl::string_view key, absl::string_view value);
absl::StatusOr<PublisherRecord> DecodePublisher(absl::string_view key, absl::string_view value);

}  // namespace tombolo::source
