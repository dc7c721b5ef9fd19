// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "mesh/shared_vector.h"
#include "source/directory_keys.h"
#include "source/directory_records.h"

namespace tombolo::source {

// Why something that is in etcd does not count.
enum class RefusalReason {
  kMalformed,       // the key or the value is not what docs/across-clusters.md says
  kTooMuch,         // more of it than DirectoryLimits lets one cluster have
  kNotAMember,      // no admin/clusters/<cluster>
  kInFile,          // the cluster is described by the own file, which counts
  kNoGateway,       // no gateway that counts: nobody can reach the cluster now
  kGatewayAddress,  // a gateway where no administrator allows one, or somebody else's
  kNamespace,       // a service of a namespace that the cluster was not granted
  kIdentity,        // an identity that is not the cluster's own in the service's namespace
  kVip,             // an address that the own cluster cannot use for a service
};
inline constexpr std::size_t kRefusalReasons = 9;
absl::string_view Name(RefusalReason reason);  // "gateway_address"

struct Refusal {
  std::string cluster;  // who said it; "": an administrator
  std::string key;      // or, of a whole cluster, the beginning of its keys
  RefusalReason reason = RefusalReason::kMalformed;
  std::string what;  // for people

  friend bool operator==(const Refusal&, const Refusal&) = default;
  friend auto operator<=>(const Refusal&, const Refusal&) = default;
};

// What is refused at one moment: all of it counted, some of it told.
class Refusals {
 public:
  static constexpr std::size_t kTold = 20;  // of one cluster for one reason

  void Add(Refusal refusal);
  void Add(std::string cluster, RefusalReason reason, std::size_t count);
  void Add(const Refusals& others);

  struct Group {
    std::size_t count = 0;
    std::vector<Refusal> told;
  };
  using Groups = std::map<std::pair<std::string, RefusalReason>, Group>;
  const Groups& groups() const { return groups_; }

 private:
  Groups groups_;
};

// About what it costs others to remember a service: DirectoryLimits::kBackends and kBytes.
struct ServiceSize {
  std::size_t backends = 0, bytes = 0;
};
ServiceSize SizeOf(const ServiceRecord& record);

// What the directory in etcd says at one moment, decoded and within the limits, but not judged
// yet: source/directory_import.h does that. What cannot be decoded is absent, also when there
// was something better under the same key before: what counts depends on what is in etcd now,
// never on what a reader has seen on the way. A plain value for one thread.
//
// A cluster that says more than DirectoryLimits is remembered up to them, in the order in which
// it came; what was left out for that comes in when it is written, or told, again
// (TakeClustersWithRoom).
class SharedDirectory {
 public:
  using ServiceName = std::pair<std::string, std::string>;  // namespace, name
  struct Member {
    ClusterRecord cluster{};
    bool has_cluster = false;
    absl::btree_map<std::string, GatewayRecord> gateways{};
    absl::btree_map<ServiceName, ServiceRecord> services{};
    std::size_t backends = 0, bytes = 0;  // of all services
  };

  // `own` is the reader's cluster: of others, VIPs and publishers are nobody's business.
  explicit SharedDirectory(std::string own) : own_(std::move(own)) {}

  // Some keys of etcd, as they are now; no value: gone.
  using Changes = std::map<std::string, std::optional<std::string>>;
  // `listed`: not by what has happened, but by reading all of etcd. When that finds no member any
  // more where there were some, etcd was emptied, or is another one: FailedPrecondition, and all
  // stays as it was until administrators have members again.
  absl::Status Apply(Changes changes, bool listed);

  // Keys are below the prefix.
  void Put(absl::string_view key, absl::string_view value);
  void Erase(absl::string_view key);

  const std::string& own() const { return own_; }
  const absl::btree_map<std::string, ClusterGrant>& grants() const { return grants_; }
  // The clusters that may serve a namespace, in order.
  using Granted = mesh::SharedVector<std::string>;
  const absl::btree_map<std::string, Granted>& namespaces() const { return namespaces_; }
  // Whether an administrator lets `cluster` serve `ns`.
  bool MayServe(absl::string_view cluster, absl::string_view ns) const;
  // Everybody who says something, the own cluster too.
  const absl::btree_map<std::string, Member>& members() const { return members_; }
  const absl::btree_map<ServiceName, VipsRecord>& vips() const { return vips_; }
  const std::string& publisher() const { return publisher_; }  // the gateway; "": none

  // What may be different since the last time, for whoever keeps what he has made of it.
  struct Changed {
    bool clusters = false;               // who says something, or any of their grants or gateways
    bool vips = false;                   //
    bool own = false;                    // any of what the own cluster says
    std::set<std::string> namespaces{};  // that are granted to others now
    std::map<std::string, std::set<ServiceName>> services{};  // by cluster
  };
  Changed TakeChanged() { return std::exchange(changed_, {}); }

  // Clusters of which something was left out because they had too much, and which have less since
  // the last time: all that they say has to be put here again.
  std::set<std::string> TakeClustersWithRoom() { return std::exchange(with_room_, {}); }

  // Those that Put() has found.
  void AddRefusals(Refusals& out) const;
  // Keys of the own cluster whose values are known and not right.
  std::vector<DirectoryKey> BadOwnKeys() const;

  // All that counts, in no particular order; put into another one, it says the same.
  void ForEach(const std::function<void(const std::string& key, std::string value)>& each) const;

 private:
  static constexpr std::size_t kMaxBad = 100;  // keys of one cluster that are remembered
  struct BadKey {
    Refusal refusal;
    bool known = true;  // what its value is
  };
  struct Bad {
    std::map<std::string, BadKey, std::less<>> keys;
    std::size_t too_much = 0;  // of them are that
    // Of others, which are only counted.
    std::map<RefusalReason, std::size_t> left_out;
    bool AnyTooMuch() const { return too_much > 0 || left_out.contains(RefusalReason::kTooMuch); }
  };
  // What DirectoryLimits are about.
  struct Amount {
    std::size_t gateways = 0, services = 0, backends = 0, bytes = 0;
    bool operator<=(const Amount& other) const {
      return gateways <= other.gateways && services <= other.services &&
             backends <= other.backends && bytes <= other.bytes;
    }
  };

  bool LosesAllMembers(const Changes& changes) const;
  Amount AmountOf(const std::string& cluster) const;
  void Forgive(absl::string_view key);
  void Refuse(absl::string_view key, RefusalReason reason, const absl::Status& why,
              bool known = true);
  void NoteRoom(const std::string& cluster);
  void Remove(const DirectoryKey& key);
  absl::Status Store(const DirectoryKey& key, absl::string_view text, absl::string_view value);
  absl::Status StoreGateway(const DirectoryKey& key, GatewayRecord record);
  absl::Status StoreService(const DirectoryKey& key, ServiceRecord record);
  void RemoveService(Member& member, const ServiceName& name);
  void Note(const DirectoryKey& key);
  Member& MemberOf(const std::string& cluster);  // new, if there is none

  std::string own_;
  absl::btree_map<std::string, ClusterGrant> grants_;
  absl::btree_map<std::string, Granted> namespaces_;
  absl::btree_map<std::string, Member> members_;
  absl::btree_map<ServiceName, VipsRecord> vips_;  // the own cluster's
  std::string publisher_;
  std::map<std::string, Bad, std::less<>> bad_;  // by cluster
  Changes held_;                                 // since etcd has no members
  Changed changed_;
  std::set<std::string> with_room_;
};

}  // namespace tombolo::source
