// SPDX-License-Identifier: Apache-2.0
#include "agent/enrolment.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
#include "net/socket.h"

namespace tombolo::agent {
namespace {

constexpr int kBacklog = 4096;  // net.core.somaxconn's default is the same

bool SameEntry(const Enrolment::Entry& a, const Enrolment::Entry& b) {
  return a.cgroup_id == b.cgroup_id && a.ns == b.ns && a.listening == b.listening &&
         a.status == b.status;
}

// A namespace may have no IPv6 at all.
bool HasNoIpv6(const absl::Status& status) {
  const int error = ErrnoOf(status);
  return error == EADDRNOTAVAIL || error == EAFNOSUPPORT;
}

// Or the same.
bool IsBelow(absl::string_view cgroup, absl::string_view ancestor) {
  if (ancestor == "/" || cgroup == ancestor) return true;
  return absl::ConsumePrefix(&cgroup, ancestor) && absl::StartsWith(cgroup, "/");
}

}  // namespace

Enrolment::Enrolment(Cgroups cgroups, datapath::Datapath& datapath, std::string capture_cgroup,
                     std::string cluster, std::string node, std::uint16_t port)
    : cgroups_(std::move(cgroups)),
      datapath_(datapath),
      capture_cgroup_(std::move(capture_cgroup)),
      cluster_(std::move(cluster)),
      node_(std::move(node)),
      port_(port) {
  if (auto own = net::NetworkNamespace::OfThisThread(); own.ok()) own_cookie_ = own->cookie();
}

absl::Status Enrolment::OpenNamespaceOf(const mesh::Workload& workload, Entry& entry) {
  if (workload.netns.empty()) {
    entry.netns_cookie = own_cookie_;
    return absl::OkStatus();
  }
  struct stat status {};
  if (stat(workload.netns.c_str(), &status) != 0) {
    return ErrnoStatus(errno, absl::StrCat("network namespace '", workload.netns, "'"));
  }
  OpenNamespace& known = namespaces_[workload.netns];
  if (known.ns == nullptr || known.inode != status.st_ino) {
    ASSIGN_OR_RETURN(net::NetworkNamespace opened, net::NetworkNamespace::Open(workload.netns));
    known = {std::make_shared<const net::NetworkNamespace>(std::move(opened)), status.st_ino};
  }
  entry.ns = known.ns;
  entry.netns_cookie = known.ns->cookie();
  return absl::OkStatus();
}

absl::StatusOr<Fd> Enrolment::ListenIn(const Entry& entry, bool ipv6) {
  Fd fd;
  const auto listen = [&] {
    auto made = net::Listen({net::IpAddress::Loopback(ipv6), port_}, kBacklog);
    if (!made.ok()) return made.status();
    fd = *std::move(made);
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(entry.ns == nullptr ? listen() : entry.ns->Run(listen));
  // Until a connection is relayed to its end, closing it must be a reset, also by the kernel
  // for a dead agent: the application already believes that it is connected.
  net::ResetOnClose(fd.get());
  RETURN_IF_ERROR(datapath_.MarkListener(fd.get()));
  return fd;
}

// Listens on one family's loopback, unless it does already, and tells the threads.
absl::Status Enrolment::EnsureListener(const Entry& entry, bool ipv6, Listener& listener) {
  if (listener.fd.valid()) return absl::OkStatus();
  ASSIGN_OR_RETURN(Fd fd, ListenIn(entry, ipv6));
  Fd copy(fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
  if (!copy.valid()) return ErrnoStatus(errno, "duplicate a listener");
  listener = {std::move(fd), next_key_++};
  changes_.push_back({listener.key, std::move(copy), entry.netns_cookie});
  return absl::OkStatus();
}

// One family's failure leaves the other's listener: the hook refuses only what
// has none.
absl::Status Enrolment::EnsureListeners(Entry& entry) {
  Listeners& listeners = listeners_[entry.netns_cookie];
  absl::Status status = EnsureListener(entry, /*ipv6=*/false, listeners.v4);
  absl::Status v6 = EnsureListener(entry, /*ipv6=*/true, listeners.v6);
  if (!HasNoIpv6(v6)) status.Update(v6);
  entry.listening = listeners.v4.fd.valid() || listeners.v6.fd.valid();
  return status;
}

Enrolment::Entry Enrolment::Inspect(const mesh::Workload& workload) {
  Entry entry;
  entry.netns = workload.netns;
  entry.status = OpenNamespaceOf(workload, entry);
  if (workload.cgroup.empty()) return entry;  // a server only
  if (!IsBelow(workload.cgroup, capture_cgroup_)) {
    entry.status.Update(absl::FailedPreconditionError(
        absl::StrCat("cgroup '", workload.cgroup, "' is not below capture.cgroup '",
                     capture_cgroup_, "': its connections would not be captured")));
    return entry;
  }
  if (auto id = cgroups_.IdOf(workload.cgroup); id.ok()) {
    entry.cgroup_id = *id;
    ever_enrolled_.insert(*id);
  } else {
    entry.status.Update(id.status());
  }
  if (!entry.status.ok()) return entry;
  // Without a listener the hook refuses what it captures: closed, and said here.
  entry.status = EnsureListeners(entry);
  return entry;
}

void Enrolment::CloseUnusedListeners() {
  std::set<std::uint64_t> used;
  for (const auto& [name, entry] : entries_) {
    if (entry.listening) used.insert(entry.netns_cookie);
  }
  for (auto at = listeners_.begin(); at != listeners_.end();) {
    if (used.contains(at->first)) {
      ++at;
      continue;
    }
    for (const std::uint64_t key : {at->second.v4.key, at->second.v6.key}) {
      if (key != 0) changes_.push_back({key, Fd(), at->first});
    }
    at = listeners_.erase(at);
  }
}

bool Enrolment::Update(const mesh::Snapshot& snapshot) {
  std::map<std::string, Entry> now;
  for (const mesh::Workload& workload : snapshot.workloads) {
    if (workload.cluster != cluster_ || workload.node != node_) continue;
    now.emplace(workload.name, Inspect(workload));
  }
  bool changed = now.size() != entries_.size();
  for (const auto& [name, entry] : now) {
    const auto before = entries_.find(name);
    changed = changed || before == entries_.end() || !SameEntry(before->second, entry);
  }
  entries_ = std::move(now);
  CloseUnusedListeners();
  std::erase_if(namespaces_, [&](const auto& item) { return item.second.ns.use_count() == 1; });
  const std::size_t enrolled_before = ever_enrolled_.size();
  std::erase_if(ever_enrolled_, [&](std::uint64_t id) { return !cgroups_.Exists(id); });
  return changed || !changes_.empty() || ever_enrolled_.size() != enrolled_before;
}

void Enrolment::DropListener(std::uint64_t key) {
  for (auto& [cookie, listeners] : listeners_) {
    for (Listener* listener : {&listeners.v4, &listeners.v6}) {
      if (listener->key != key) continue;
      *listener = {};
      changes_.push_back({key, Fd(), cookie});  // those that have it already let it go
    }
  }
}

std::vector<Enrolment::ListenerChange> Enrolment::TakeListenerChanges() {
  return std::exchange(changes_, {});
}

absl::flat_hash_map<std::uint64_t, World::Namespace> Enrolment::Namespaces() const {
  absl::flat_hash_map<std::uint64_t, World::Namespace> found;
  for (const auto& [name, entry] : entries_) {
    if (entry.listening) found.try_emplace(entry.netns_cookie, World::Namespace{entry.netns, name});
  }
  return found;
}

std::vector<std::uint64_t> Enrolment::RetiredCgroups() const {
  std::set<std::uint64_t> retired = ever_enrolled_;
  for (const auto& [name, entry] : entries_) retired.erase(entry.cgroup_id);
  return {retired.begin(), retired.end()};
}

void Enrolment::Remember(const std::vector<std::uint64_t>& cgroup_ids) {
  ever_enrolled_.insert(cgroup_ids.begin(), cgroup_ids.end());
}

}  // namespace tombolo::agent
