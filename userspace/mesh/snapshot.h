// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "base/spiffe_id.h"
#include "base/time.h"
#include "mesh/load_balancing.h"
#include "mesh/shared_vector.h"
#include "net/address.h"

// What the mesh looks like, as plain values. A Snapshot is built once by a
// source, checked, and never changed afterwards; threads share it by
// std::shared_ptr<const Snapshot>. One that follows another shares with it what is as it was.
namespace tombolo::mesh {

struct Node {
  std::string name;
  net::SocketAddress tunnel_address;  // where its agent accepts tunnels
  std::string zone{};                 // "": not known

  friend bool operator==(const Node&, const Node&) = default;
};

// Where a cluster takes tunnels from other clusters.
struct Gateway {
  std::string name;
  net::SocketAddress address{};  // unset: nobody can dial it
  std::string zone{};            // "": not known
  // The cluster whose gateways hand it its tunnels, over links that it has dialled; "": it is
  // dialled itself.
  std::string via{};

  friend bool operator==(const Gateway&, const Gateway&) = default;
};

// Which clusters administrators let serve a namespace.
struct NamespaceGrant {
  std::string ns;
  SharedVector<std::string> clusters;  // in order

  friend bool operator==(const NamespaceGrant&, const NamespaceGrant&) = default;
};

struct Cluster {
  std::string name;
  std::vector<Node> nodes{};
  // None: other clusters dial its nodes, whose addresses they can reach then.
  std::vector<Gateway> gateways{};
  std::string region{};   // "": not known
  bool draining = false;  // takes no new connections while others can
  // Of one that drains: when connections that still go there are ended.
  std::optional<WallTime> drain_deadline{};
  // All that administrators have granted, in the order of the namespaces, one for all clusters;
  // none: it may serve everything, as the own file says so.
  std::optional<SharedVector<NamespaceGrant>> grants{};
  // Derived by Index(): what is dialled to reach it through a gateway. Its own gateways, and for
  // those that cannot be dialled all that the cluster has through which they are reached, those
  // with that cluster's name before theirs. None: out of reach, unless its nodes are dialled.
  std::vector<Gateway> ways{};

  bool MayServe(absl::string_view ns) const;
  friend bool operator==(const Cluster&, const Cluster&) = default;
};

// Something with an identity, on one node. The cgroup names it there; the
// network namespace says where its sockets are.
struct Workload {
  std::string name;  // unique in the directory
  std::string cluster;
  std::string node;
  std::string ns;
  std::string service_account;
  std::string cgroup;  // below the cgroup v2 mount, begins with '/'; empty: a
                       // server only
  std::string netns;   // a namespace file; empty: the agent's own namespace
  SpiffeId id;         // derived: /cluster/<cluster>/ns/<ns>/sa/<service_account>

  friend bool operator==(const Workload&, const Workload&) = default;
};

// One ip:port behind one port of a service; or all those of one identity in another
// cluster, which only that cluster's gateways can tell apart.
struct Endpoint {
  std::string workload;             // Workload::name; empty: behind gateways
  std::string cluster;              // derived from the workload
  std::string node;                 // derived from the workload; empty: behind gateways
  SpiffeId identity;                // derived from the workload
  net::SocketAddress address;       // unset: behind gateways
  bool ready = true;                // or at least one of them
  std::uint32_t weight = 1;         // of all that are ready together
  std::uint32_t members = 1;        // ip:ports that it stands for
  std::uint32_t ready_members = 1;  // 0 if not ready

  bool behind_gateways() const { return workload.empty(); }
  // For people: its address, or "cluster west".
  std::string Where() const;

  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

struct ServicePort {
  std::uint16_t port = 0;
  std::vector<Endpoint> endpoints{};
  // The own cluster's endpoints are told for whom a connection is (net::EncodeProxyV2).
  bool proxy_protocol = false;

  friend bool operator==(const ServicePort&, const ServicePort&) = default;
};

struct Service {
  std::string ns;
  std::string name;
  std::vector<net::IpAddress> vips{};
  std::vector<ServicePort> ports{};
  LoadBalancing balancing{};
  bool exported = false;  // by the own cluster, to all others

  std::string FullName() const { return ns + "/" + name; }
  const ServicePort* FindPort(std::uint16_t port) const;

  friend bool operator==(const Service&, const Service&) = default;
};

// One line of the allow list: what matches may connect; everything else may
// not.
struct AllowRule {
  std::string from;                  // a SPIFFE ID, or a prefix of one that ends in "/*"
  std::string service;               // namespace/name
  std::vector<std::uint16_t> ports;  // empty: every port
  bool Matches(const SpiffeId& client) const;

  friend bool operator==(const AllowRule&, const AllowRule&) = default;
};

// What a VIP and port stand for.
struct ServiceRef {
  const Service* service = nullptr;
  const ServicePort* port = nullptr;
};

// What other clusters say of themselves counts, too.
struct Imports {
  std::vector<net::Prefix> vips{};  // for services that only they have

  friend bool operator==(const Imports&, const Imports&) = default;
};

struct Snapshot {
  std::uint64_t version = 0;  // grows with every accepted change of this agent's sources
  std::string trust_domain;
  SharedVector<Cluster> clusters;
  SharedVector<Workload> workloads;
  VectorOfShared<Service> services;
  SharedVector<AllowRule> allow;
  // With it a rule may be about a service that nobody has yet, which allows nothing.
  std::optional<Imports> imports;

  // Call once when the fields above are complete. InvalidArgument names what
  // does not fit together: duplicate names or VIPs, dangling references.
  absl::Status Index() { return IndexAfter({}); }
  // The same, for less: what is shared with `before`, which was indexed, is not looked at again.
  absl::Status IndexAfter(const Snapshot& before) { return IndexAfter(before, before); }
  // The same, where all but the services is shared with `frame` rather than with `before`.
  absl::Status IndexAfter(const Snapshot& before, const Snapshot& frame);

  // Whether both say the same; their versions are their own.
  bool SaysTheSame(const Snapshot& other) const;
  // Whether it is known, since one followed the other, that their services have the same names.
  bool SharesNames(const Snapshot& other) const { return services_ == other.services_; }

  const Cluster* FindCluster(absl::string_view name) const;
  const Node* FindNode(absl::string_view cluster, absl::string_view node) const;
  const Workload* FindWorkload(absl::string_view name) const;
  const Service* FindService(absl::string_view full_name) const;
  // Of the workloads of one node.
  std::set<SpiffeId> IdentitiesOn(absl::string_view cluster, absl::string_view node) const;
  // Null members when no service has that address and port.
  ServiceRef FindVip(const net::SocketAddress& vip) const;
  // The rules for that service whose `from` is exactly this text, as indexes of
  // `allow`, ascending. Empty when there is none.
  absl::Span<const std::uint32_t> FindRules(absl::string_view full_name,
                                            absl::string_view from) const;

  // Pointers into a Snapshot are those of its indexes, so it stays where it was built.
  Snapshot() = default;
  Snapshot(const Snapshot&) = delete;
  Snapshot& operator=(const Snapshot&) = delete;

 private:
  // Both halves of a name, so that a lookup allocates nothing.
  using NamePair = std::pair<absl::string_view, absl::string_view>;

  // They point into the vectors above, or say which service it is, and hold for all snapshots that
  // share those, or whose services have the same names and addresses.
  struct ClusterIndex {
    absl::flat_hash_map<absl::string_view, const Cluster*> clusters{};
    absl::flat_hash_map<NamePair, const Node*> nodes{};  // cluster, node
  };
  using WorkloadIndex = absl::flat_hash_map<absl::string_view, const Workload*>;
  using NameIndex = absl::flat_hash_map<std::string, std::uint32_t>;  // by full name
  using VipIndex = absl::flat_hash_map<net::SocketAddress, std::uint32_t>;
  using RuleIndex = absl::flat_hash_map<NamePair, std::vector<std::uint32_t>>;  // service, from

  class Indexer;

  std::shared_ptr<const ClusterIndex> clusters_;
  std::shared_ptr<const WorkloadIndex> workloads_;
  std::shared_ptr<const NameIndex> services_;
  std::shared_ptr<const VipIndex> vips_;
  std::shared_ptr<const RuleIndex> rules_;
};

using SnapshotPtr = std::shared_ptr<const Snapshot>;

}  // namespace tombolo::mesh
