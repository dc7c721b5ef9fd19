// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "agent/cgroup.h"
#include "agent/world.h"
#include "base/fd.h"
#include "datapath/datapath.h"
#include "mesh/snapshot.h"

namespace tombolo::agent {

// Keeps track of the workloads of this node: which cgroup and network namespace
// each has at the moment, and the listening sockets inside those namespaces.
// Control thread only.
class Enrolment {
 public:
  struct Entry {
    std::uint64_t cgroup_id = 0;  // 0: there is none, or not yet
    NamespacePtr ns;              // null: the agent's own
    std::string netns;            // its path
    std::uint64_t netns_cookie = 0;
    absl::Status status;  // why it is not wholly enrolled
    bool listening = false;
  };
  // A listening socket that data threads shall watch or let go.
  struct ListenerChange {
    std::uint64_t key = 0;
    Fd fd;  // invalid: let the listener of this key go
    std::uint64_t netns_cookie = 0;
  };

  // The hooks are attached at `capture_cgroup`: a workload elsewhere is not enrolled.
  Enrolment(Cgroups cgroups, datapath::Datapath& datapath, std::string capture_cgroup,
            std::string cluster, std::string node, std::uint16_t port);

  // Looks again at every workload of `snapshot` on this node. True when something
  // changed: then the World and the kernel's maps must follow.
  bool Update(const mesh::Snapshot& snapshot);
  std::vector<ListenerChange> TakeListenerChanges();
  // It could not be watched: closes it, and makes it anew at the next Update().
  void DropListener(std::uint64_t key);

  const std::map<std::string, Entry>& entries() const { return entries_; }
  // Where the listeners are, by namespace cookie.
  absl::flat_hash_map<std::uint64_t, World::Namespace> Namespaces() const;
  // Cgroups that were enrolled once, still exist, and are in the directory no more.
  // They stay captured, and nothing is allowed to them.
  std::vector<std::uint64_t> RetiredCgroups() const;
  // Adds what an earlier agent had enrolled.
  void Remember(const std::vector<std::uint64_t>& cgroup_ids);

 private:
  struct OpenNamespace {
    NamespacePtr ns;
    std::uint64_t inode = 0;
  };
  struct Listener {
    Fd fd;
    std::uint64_t key = 0;
  };
  struct Listeners {
    Listener v4, v6;
  };

  Entry Inspect(const mesh::Workload& workload);
  absl::Status OpenNamespaceOf(const mesh::Workload& workload, Entry& entry);
  absl::Status EnsureListeners(Entry& entry);
  absl::Status EnsureListener(const Entry& entry, bool ipv6, Listener& listener);
  absl::StatusOr<Fd> ListenIn(const Entry& entry, bool ipv6);
  void CloseUnusedListeners();

  const Cgroups cgroups_;
  datapath::Datapath& datapath_;
  const std::string capture_cgroup_;
  const std::string cluster_;
  const std::string node_;
  const std::uint16_t port_;
  std::uint64_t own_cookie_ = 0;
  std::map<std::string, Entry> entries_;             // by workload name
  std::map<std::string, OpenNamespace> namespaces_;  // by path
  std::map<std::uint64_t, Listeners> listeners_;     // by netns cookie
  std::set<std::uint64_t> ever_enrolled_;            // cgroup ids
  std::vector<ListenerChange> changes_;
  std::uint64_t next_key_ = 1;
};

}  // namespace tombolo::agent
