// SPDX-License-Identifier: Apache-2.0
#include "source/directory_file.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
#include "mesh/seen_from.h"
#include "source/config_values.h"
#include "source/load_balancing.h"
#include "source/values.h"
#include "source/yaml_reader.h"

namespace tombolo::source {
namespace {

constexpr std::size_t kMaxWorkloadName = 253;
constexpr std::uint32_t kMaxWeight = 65535;
constexpr std::size_t kMaxSuggestions = 1000;  // names that an unknown one is compared with

absl::StatusOr<std::string> ParseWorkloadName(absl::string_view text) {
  const auto allowed = [](char c) {
    return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.' || c == '/';
  };
  if (text.empty() || text.size() > kMaxWorkloadName ||
      !std::all_of(text.begin(), text.end(), allowed)) {
    return BadValue(text, "is not a name of up to 253 letters, digits, '-', '_', '.', '/'");
  }
  return std::string(text);
}

absl::StatusOr<std::pair<std::string, std::string>> ParseServiceName(absl::string_view text) {
  const std::vector<std::string> parts = absl::StrSplit(text, '/');
  if (parts.size() != 2) return BadValue(text, "is not of the form namespace/name");
  for (const std::string& part : parts) {
    if (!ParseLabel(part).ok()) {
      return BadValue(text,
                      absl::StrCat("is not namespace/name: ", ParseLabel(part).status().message()));
    }
  }
  return std::pair(parts[0], parts[1]);
}

absl::StatusOr<bool> ParseProxyProtocol(absl::string_view text) {
  if (text == "none" || text == "v2") return text == "v2";
  return BadValue(text, "is neither none nor v2");
}

// Builds a Snapshot from the file's tree. Each section refers only to earlier ones.
class DirectoryReader {
 public:
  DirectoryReader(YamlErrors& errors, mesh::Snapshot& snapshot)
      : errors_(errors), snapshot_(snapshot) {}

  void Read(YamlMap map) {
    map.Required("trust_domain", snapshot_.trust_domain, ParseTrustDomain);
    map.List("federates_with", federated_, ParseTrustDomain);
    YamlMap imports = map.Map("imports");
    if (map.Has("imports")) ReadImports(imports, snapshot_.imports.emplace());
    for (YamlMap& cluster : map.Maps("clusters")) ReadCluster(cluster);
    for (YamlMap& workload : map.Maps("workloads")) ReadWorkload(workload);
    for (YamlMap& service : map.Maps("services")) ReadService(service);
    for (YamlMap& rule : map.Maps("allow")) ReadRule(rule);
    map.Finish();
  }

 private:
  using Lines = absl::flat_hash_map<std::string, int>;  // where a name was given first

  static void ReadImports(YamlMap& map, mesh::Imports& imports);
  void ReadCluster(YamlMap& map);
  static void ReadDraining(YamlMap& map, mesh::Cluster& cluster);
  void ReadNode(YamlMap& map, mesh::Cluster& cluster);
  void ReadGateway(YamlMap& map, mesh::Cluster& cluster);
  void ReadWorkload(YamlMap& map);
  void CheckPlace(YamlMap& map, const mesh::Workload& workload);
  void ReadService(YamlMap& map);
  mesh::ServicePort ReadPort(YamlMap& map);
  std::optional<mesh::Endpoint> ReadEndpoint(YamlMap& map);
  void ReadVips(YamlMap& map, mesh::Service& service);
  void ReadRule(YamlMap& map);
  absl::StatusOr<std::string> ParseFrom(absl::string_view text) const;
  // Parses the name of a cluster: of this file, unless there are others.
  LabelParser CheckCluster() const;

  // Reports a name that is there already.
  void Once(YamlMap& map, absl::string_view key, const std::string& name, Lines& seen) {
    const auto [first, inserted] = seen.try_emplace(name, map.LineOf(key));
    if (!inserted) {
      map.Error(key, absl::StrCat("'", name, "' is there twice, first on line ", first->second));
    }
  }

  // Reports a name that is not there at all.
  template <typename Names>
  void Unknown(YamlMap& map, absl::string_view key, const std::string& name, absl::string_view what,
               const Names& names) {
    std::vector<absl::string_view> known;
    if (!errors_.full() && names.size() <= kMaxSuggestions) {
      for (const auto& [candidate, value] : names) known.push_back(candidate);
      std::sort(known.begin(), known.end());
    }
    map.Error(key, absl::StrCat("'", name, "' is not a ", what, " of this file",
                                DidYouMean(name, known)));
  }

  YamlErrors& errors_;
  mesh::Snapshot& snapshot_;
  std::vector<std::string> federated_;  // trust domains that rules may be about, too
  Lines clusters_;
  absl::flat_hash_map<std::string, Lines> nodes_;     // by cluster
  absl::flat_hash_map<std::string, Lines> gateways_;  // by cluster
  Lines gateway_addresses_;
  Lines workload_lines_;
  absl::flat_hash_map<std::string, std::size_t> workloads_;  // index in the snapshot
  Lines cgroups_;                                            // "cluster/node:cgroup"
  Lines service_lines_;
  absl::flat_hash_map<std::string, std::size_t> services_;  // index in the snapshot
  absl::flat_hash_map<net::SocketAddress, std::string> vips_;
};

void DirectoryReader::ReadImports(YamlMap& map, mesh::Imports& imports) {
  map.List("vips", imports.vips, [](absl::string_view text) -> absl::StatusOr<net::Prefix> {
    ASSIGN_OR_RETURN(const net::Prefix range, net::Prefix::Parse(text));
    if (absl::Status first = ParseVip(range.ip.ToString()).status(); !first.ok()) return first;
    return range;
  });
  map.Finish();
}

void DirectoryReader::ReadCluster(YamlMap& map) {
  mesh::Cluster cluster;
  if (map.Required("name", cluster.name, ParseLabel)) Once(map, "name", cluster.name, clusters_);
  map.Optional("region", cluster.region, ParseLabel);
  ReadDraining(map, cluster);
  for (YamlMap& node : map.Maps("nodes")) ReadNode(node, cluster);
  for (YamlMap& gateway : map.Maps("gateways")) ReadGateway(gateway, cluster);
  map.Finish();
  snapshot_.clusters.push_back(std::move(cluster));
}

// true, false, or {deadline: 2026-01-31T12:00:00Z}
void DirectoryReader::ReadDraining(YamlMap& map, mesh::Cluster& cluster) {
  if (!map.IsMap("draining")) {
    map.Optional("draining", cluster.draining, ParseBool);
    return;
  }
  YamlMap draining = map.Map("draining");
  WallTime deadline;
  if (draining.Required("deadline", deadline, ParseTime)) cluster.drain_deadline = deadline;
  cluster.draining = true;
  draining.Finish();
}

void DirectoryReader::ReadNode(YamlMap& map, mesh::Cluster& cluster) {
  mesh::Node node;
  if (map.Required("name", node.name, ParseLabel)) {
    Once(map, "name", node.name, nodes_[cluster.name]);
  }
  map.Required("tunnel", node.tunnel_address, ParseTarget);
  map.Optional("zone", node.zone, ParseLabel);
  map.Finish();
  cluster.nodes.push_back(std::move(node));
}

void DirectoryReader::ReadGateway(YamlMap& map, mesh::Cluster& cluster) {
  mesh::Gateway gateway;
  if (map.Required("name", gateway.name, ParseLabel)) {
    Once(map, "name", gateway.name, gateways_[cluster.name]);
  }
  // Two clusters behind one address could not be told apart when it does not answer.
  if (!map.Optional("via", gateway.via, ParseLabel) &&
      map.Required("address", gateway.address, ParseTarget)) {
    Once(map, "address", gateway.address.ToString(), gateway_addresses_);
  }
  map.Optional("zone", gateway.zone, ParseLabel);
  map.Finish();
  cluster.gateways.push_back(std::move(gateway));
}

void DirectoryReader::ReadWorkload(YamlMap& map) {
  mesh::Workload workload;
  if (map.Required("name", workload.name, ParseWorkloadName)) {
    Once(map, "name", workload.name, workload_lines_);
    workloads_.try_emplace(workload.name, snapshot_.workloads.size());
  }
  bool placed = map.Required("cluster", workload.cluster, ParseLabel);
  placed = map.Required("node", workload.node, ParseLabel) && placed;
  bool named = map.Required("namespace", workload.ns, ParseLabel);
  named = map.Required("service_account", workload.service_account, ParseLabel) && named;
  map.Optional("cgroup", workload.cgroup, ParseAbsolutePath);
  map.Optional("netns", workload.netns, ParseAbsolutePath);
  map.Finish();
  if (placed) CheckPlace(map, workload);
  if (placed && named && !snapshot_.trust_domain.empty()) {
    auto id = SpiffeId::ForWorkload(snapshot_.trust_domain, workload.cluster, workload.ns,
                                    workload.service_account);
    if (id.ok()) {
      workload.id = *std::move(id);
    } else {
      map.Error(id.status().message());
    }
  }
  snapshot_.workloads.push_back(std::move(workload));
}

void DirectoryReader::CheckPlace(YamlMap& map, const mesh::Workload& workload) {
  if (!clusters_.contains(workload.cluster)) {
    return Unknown(map, "cluster", workload.cluster, "cluster", clusters_);
  }
  const Lines& nodes = nodes_[workload.cluster];
  if (!nodes.contains(workload.node)) {
    return Unknown(map, "node", workload.node,
                   absl::StrCat("node of cluster '", workload.cluster, "'"), nodes);
  }
  if (workload.cgroup.empty()) return;
  // The cgroup is what tells two workloads of a node apart. Nested ones are
  // allowed: the nearest ancestor names the workload.
  const std::string place =
      absl::StrCat(workload.cluster, "/", workload.node, ":", workload.cgroup);
  const auto [first, inserted] = cgroups_.try_emplace(place, map.LineOf("cgroup"));
  if (!inserted) {
    map.Error("cgroup",
              absl::StrCat("'", workload.cgroup,
                           "' is another workload's of the same node, on line ", first->second));
  }
}

void DirectoryReader::ReadService(YamlMap& map) {
  mesh::Service service;
  std::pair<std::string, std::string> name;
  if (map.Required("name", name, ParseServiceName)) {
    std::tie(service.ns, service.name) = name;
    Once(map, "name", service.FullName(), service_lines_);
    services_.try_emplace(service.FullName(), snapshot_.services.size());
  }
  absl::flat_hash_set<std::uint16_t> numbers;
  for (YamlMap& port : map.Maps("ports")) {
    service.ports.push_back(ReadPort(port));
    const std::uint16_t number = service.ports.back().port;
    if (number != 0 && !numbers.insert(number).second) {
      port.Error("port", absl::StrCat("'", number, "' is there twice"));
    }
  }
  ReadVips(map, service);
  map.Optional("export", service.exported, ParseBool);
  ReadLoadBalancing(map.Map("balancing"), CheckCluster(), service.balancing);
  map.Finish();
  snapshot_.services.push_back(std::move(service));
}

mesh::ServicePort DirectoryReader::ReadPort(YamlMap& map) {
  mesh::ServicePort port;
  map.Required("port", port.port, ParsePort);
  map.Optional("proxy_protocol", port.proxy_protocol, ParseProxyProtocol);
  absl::flat_hash_set<std::pair<std::string, net::SocketAddress>> seen;
  for (YamlMap& item : map.Maps("endpoints")) {
    std::optional<mesh::Endpoint> endpoint = ReadEndpoint(item);
    if (!endpoint) continue;
    if (!seen.emplace(endpoint->workload, endpoint->address).second) {
      item.Error("address", absl::StrCat("'", endpoint->address.ToString(), "' of workload '",
                                         endpoint->workload, "' is there twice"));
    }
    port.endpoints.push_back(*std::move(endpoint));
  }
  map.Finish();
  return port;
}

std::optional<mesh::Endpoint> DirectoryReader::ReadEndpoint(YamlMap& map) {
  mesh::Endpoint endpoint;
  const bool named = map.Required("workload", endpoint.workload, ParseWorkloadName);
  const bool addressed = map.Required("address", endpoint.address, ParseTarget);
  map.Optional("ready", endpoint.ready, ParseBool);
  endpoint.ready_members = endpoint.ready ? 1 : 0;
  map.Optional("weight", endpoint.weight,
               [](absl::string_view text) { return ParseNumber(text, 1, kMaxWeight); });
  map.Finish();
  if (!named || !addressed) return std::nullopt;
  const auto found = workloads_.find(endpoint.workload);
  if (found == workloads_.end()) {
    Unknown(map, "workload", endpoint.workload, "workload", workloads_);
    return std::nullopt;
  }
  const mesh::Workload& workload = snapshot_.workloads[found->second];
  endpoint.cluster = workload.cluster;
  endpoint.node = workload.node;
  endpoint.identity = workload.id;
  return endpoint;
}

void DirectoryReader::ReadVips(YamlMap& map, mesh::Service& service) {
  map.List("vips", service.vips, [&](absl::string_view text) -> absl::StatusOr<net::IpAddress> {
    ASSIGN_OR_RETURN(const net::IpAddress vip, ParseVip(text));
    for (const mesh::ServicePort& port : service.ports) {
      const auto [first, inserted] = vips_.try_emplace({vip, port.port}, service.FullName());
      if (!inserted) {
        return BadValue(text, absl::StrCat("with port ", port.port, " is a VIP of service '",
                                           first->second, "' already"));
      }
    }
    return vip;
  });
}

LabelParser DirectoryReader::CheckCluster() const {
  return [this](absl::string_view text) -> absl::StatusOr<std::string> {
    ASSIGN_OR_RETURN(std::string name, ParseLabel(text));
    if (!snapshot_.imports && !clusters_.contains(name)) {
      return BadValue(text, "is not a cluster of this file");
    }
    return name;
  };
}

absl::StatusOr<std::string> DirectoryReader::ParseFrom(absl::string_view text) const {
  const bool is_prefix = absl::EndsWith(text, "/*");
  const auto id = SpiffeId::Parse(is_prefix ? absl::StripSuffix(text, "/*") : text);
  if (!id.ok()) return id.status();
  const bool own = snapshot_.trust_domain.empty() || id->trust_domain() == snapshot_.trust_domain;
  if (!own &&
      std::find(federated_.begin(), federated_.end(), id->trust_domain()) == federated_.end()) {
    return BadValue(text, absl::StrCat("is neither of the trust domain '", snapshot_.trust_domain,
                                       "' nor of one in federates_with"));
  }
  if (!is_prefix && id->path().empty()) {
    return BadValue(text, "is a trust domain and names nobody; end it in /* to mean everybody");
  }
  return std::string(text);
}

void DirectoryReader::ReadRule(YamlMap& map) {
  mesh::AllowRule rule;
  map.Required("from", rule.from, [this](absl::string_view text) { return ParseFrom(text); });
  const mesh::Service* service = nullptr;
  if (map.Required("to", rule.service, ParseText)) {
    const auto found = services_.find(rule.service);
    if (found != services_.end()) {
      service = &snapshot_.services[found->second];
    } else if (!snapshot_.imports) {
      Unknown(map, "to", rule.service, "service", services_);
    } else if (absl::Status name = ParseServiceName(rule.service).status(); !name.ok()) {
      map.Error("to", name.message());
    }
  }
  map.List("ports", rule.ports, [&](absl::string_view text) -> absl::StatusOr<std::uint16_t> {
    ASSIGN_OR_RETURN(const std::uint16_t port, ParsePort(text));
    if (service != nullptr && service->FindPort(port) == nullptr) {
      return BadValue(text, absl::StrCat("is not a port of service '", rule.service, "'"));
    }
    return port;
  });
  // An empty list would mean every port to mesh and nothing to most readers.
  if (map.Has("ports") && rule.ports.empty()) {
    map.Error("ports", "has no valid port; leave the key out to allow every port");
  }
  map.Finish();
  snapshot_.allow.push_back(std::move(rule));
}

}  // namespace

absl::StatusOr<std::shared_ptr<mesh::Snapshot>> LoadDirectory(const std::string& path,
                                                              const std::string& own) {
  ASSIGN_OR_RETURN(const std::string text, ReadYamlFile(path));
  YamlErrors errors(path);
  const std::optional<YamlNode> root = ParseYaml(text, errors);
  auto snapshot = std::make_shared<mesh::Snapshot>();
  if (root) DirectoryReader(errors, *snapshot).Read(YamlMap(*root, "", errors));
  RETURN_IF_ERROR(errors.ToStatus());
  if (!own.empty()) mesh::SeeFrom(own, *snapshot);
  if (absl::Status indexed = snapshot->Index(); !indexed.ok()) return Annotate(indexed, path);
  return snapshot;
}

}  // namespace tombolo::source
