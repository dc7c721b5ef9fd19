// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/string_view.h"
#include "mesh/snapshot.h"
#include "source/shared_directory.h"

namespace tombolo::source {

// What of ImportDirectory() is about services, kept from one state of the directory to the next:
// a record is judged when it, its cluster or its namespace's grant has changed, and a service is
// put together when one of its records, or its VIPs, have. The rest is shared by all snapshots.
//
// What it has kept depends on what is in etcd, not on how that came to be. Of one thread. After
// Update() has begun, the same `shared` has to be given to it again.
class ImportedServices {
 public:
  // `file` is the own cluster's.
  explicit ImportedServices(std::shared_ptr<const mesh::Snapshot> file);
  ImportedServices(const ImportedServices&) = delete;
  ImportedServices& operator=(const ImportedServices&) = delete;

  // `frame` is ImportClusters()'; `changed`, what may be different since the last call.
  void Update(const mesh::SnapshotPtr& frame, const SharedDirectory& shared,
              const SharedDirectory::Changed& changed);

  // As they are now: the file's in its order, then the others in the order of their names.
  void AddTo(mesh::Snapshot& snapshot) const;
  void AddRefusals(Refusals& out) const;

 private:
  using ServiceName = SharedDirectory::ServiceName;
  using NamePair = std::pair<absl::string_view, absl::string_view>;
  using Member = SharedDirectory::Member;
  using ServicePtr = mesh::VectorOfShared<mesh::Service>::Pointer;

  // A cluster that says something in etcd.
  struct Exporter {
    std::string name;
    bool counts = false;   // what it says of services is looked at
    bool has_way = false;  // something new can be sent there
    absl::btree_map<ServiceName, RefusalReason> refused{};
    Refusals refusals{};  // of those
    bool stale = false;   // `refusals` are
  };
  // A service that somebody of this cluster could use.
  struct Item {
    ServiceName name;
    ServicePtr of_file{};                      // null: only others have it
    std::vector<const Exporter*> exporters{};  // whose records count, in the order of their names
    std::vector<net::IpAddress> vips{};        // of an imported one
    ServicePtr service{};
    bool dirty = false;   // `service` is not of what is above
    bool listed = false;  // in imported_, or the file's
  };
  // Whether a cluster may serve a namespace, and how its identities there begin.
  struct Grant {
    std::string cluster{}, ns{};
    bool given = false;
    std::string own_beginning{};
  };

  void SetFrame(const mesh::SnapshotPtr& frame, bool new_members);
  void SetFileWays();
  Exporter& ExporterOf(const std::string& cluster);
  void JudgeChanged(const SharedDirectory::Changed& changed);
  void JudgeAll(Exporter& exporter);
  void JudgeNamespace(Exporter& exporter, const std::string& ns);
  void Judge(Exporter& exporter, const ServiceName& name, const ServiceRecord* record);
  std::optional<RefusalReason> WhyNot(const Exporter& exporter, const ServiceName& name,
                                      const ServiceRecord& record);
  const Grant& GrantOf(const std::string& cluster, const std::string& ns);
  // Null when nobody could use it.
  Item* Find(const ServiceName& name, bool make);
  void MarkExported(const Exporter& exporter);
  void Mark(Item& item);
  // Which of others' there are now; whether those are not the same ones.
  bool List();
  void AssignVips();
  std::vector<net::IpAddress> UsableVips(const ServiceName& name, const VipsRecord& record,
                                         absl::flat_hash_set<net::IpAddress>& taken);
  void PutTogether(Item& item);
  void AddBackends(const Exporter& exporter, const ServiceRecord& record, bool of_file,
                   mesh::Service& service) const;
  void CloseWhatHasNoWay(mesh::Service& service) const;
  void RefreshRefusals(Exporter& exporter);
  Refusal Describe(const Exporter& exporter, const ServiceName& name, RefusalReason reason);

  const std::shared_ptr<const mesh::Snapshot> file_;
  absl::flat_hash_set<absl::string_view> ruled_;  // services that rules are about
  mesh::SnapshotPtr frame_;
  const SharedDirectory* shared_ = nullptr;  // while Update() runs
  std::vector<bool> file_ways_;              // of the file's clusters: whether there is one
  std::map<std::string, Exporter> exporters_;
  absl::flat_hash_map<NamePair, std::unique_ptr<Item>> items_;
  std::vector<Item*> of_file_, imported_;
  std::vector<Item*> dirty_;
  Refusals vip_refusals_;
  Grant grant_;  // of the last one that was asked for
};

}  // namespace tombolo::source
