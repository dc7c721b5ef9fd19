// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "net/address.h"

namespace tombolo::datapath {

// The destination that an application asked for, before the hook rewrote it.
struct OriginalDestination {
  net::SocketAddress destination;
  std::uint64_t cgroup_id = 0;  // of the enrolled ancestor: names the workload
  std::uint64_t socket_cookie = 0;
};

// What the kernel shall hold. Plain values; Apply() finds the differences.
struct DesiredState {
  enum class Action : std::uint8_t {
    kCapture,
    kRefuse,  // no ready endpoint: connect() fails with ECONNREFUSED
  };
  struct Service {
    net::SocketAddress vip;
    std::uint64_t id = 0;  // names the service and port in `allowed`; the same across restarts
    Action action = Action::kCapture;
  };
  struct Workload {
    std::uint64_t cgroup_id = 0;
    bool exempt = false;  // the agent's own cgroup: never captured
  };
  struct Allowed {
    std::uint64_t cgroup_id = 0;
    std::uint64_t service_id = 0;
  };
  std::vector<Service> services;
  std::vector<Workload> workloads;
  std::vector<Allowed> allowed;  // a known pair that is not here is refused with EACCES
  std::vector<net::Prefix> protected_ranges;
  // Where nothing but services can be: workloads are refused what is none there, too.
  std::vector<net::Prefix> service_ranges;
  // Something else is wrong with capture: refuse what the maps do not know, and
  // refuse services to whoever is no workload.
  bool closed = false;
};

struct Counter {
  std::string name;  // "captured", "refused_no_listener", ...
  std::uint64_t value = 0;
};

struct MapInfo {
  std::string name;
  std::uint32_t entries = 0;
  std::uint32_t max_entries = 0;
};

struct ProgramInfo {
  std::string name;         // "tb_connect4"
  std::string attach_type;  // "cgroup/connect4"
  std::string pin;          // path of the pinned link
  std::uint32_t id = 0;
};

// The eBPF programs and maps of one agent instance, pinned below
// <bpffs>/tombolo/<instance>/ so that they outlive the agent: when the agent is
// gone, captured connections are refused, never sent in the clear.
//
// Destroying it leaves everything pinned and attached. Thread-compatible,
// except TakeOriginalDestination and MarkListener, which any thread may call.
class Datapath {
 public:
  struct Options {
    std::string instance;     // [a-z0-9-]{1,32}
    std::string cgroup_path;  // absolute; programs are attached here
    std::string bpffs = "/sys/fs/bpf";
    std::uint16_t listener_port = 15001;
    std::uint32_t max_services = 65536;
    std::uint32_t max_workloads = 4096;
    std::uint32_t max_allowed = 262144;
    std::uint32_t max_pending = 65536;  // captured and not yet accepted
    std::uint32_t max_pending_per_workload = 8192;
  };

  // Loads the programs, or takes over what an earlier agent pinned (maps are
  // reused, programs replaced atomically by bpf_link_update). Entries that
  // Apply() has not replaced yet stay in force.
  static absl::StatusOr<std::unique_ptr<Datapath>> Open(const Options& options);
  // Detaches and removes everything that an instance pinned.
  static absl::Status Remove(const std::string& bpffs, const std::string& instance);

  virtual ~Datapath() = default;

  // Makes the kernel's maps equal to `desired`. A service that is gone becomes
  // a tombstone that refuses, not a hole. When something cannot be inserted,
  // refuse-unknown is set (enrolled workloads may not connect to what the maps
  // do not know) and the Status names the map; the rest is applied.
  virtual absl::Status Apply(const DesiredState& desired) = 0;

  // Lets the hook trust the listening socket `fd`.
  virtual absl::Status MarkListener(int fd) = 0;

  // Finds and removes what was stored for the connection that a listener has
  // accepted: `client` and `listener` are its two addresses. NotFound when the
  // hook did not send it: refuse it.
  virtual absl::StatusOr<OriginalDestination> TakeOriginalDestination(
      std::uint64_t netns_cookie, const net::SocketAddress& client,
      const net::SocketAddress& listener) = 0;

  // Forgets entries that nobody has taken since the call before the last: the
  // agent takes one within milliseconds, or its listener's queue died with an
  // earlier agent. Call it every half a minute or so.
  virtual void SweepPending() = 0;

  // The cgroups that the kernel holds as captured workloads. After Open() these
  // are an earlier agent's: a workload that left the directory meanwhile must
  // stay captured, so the caller puts it into the next DesiredState.
  virtual std::vector<std::uint64_t> EnrolledCgroups() const = 0;

  virtual std::vector<Counter> ReadCounters() const = 0;
  virtual std::vector<MapInfo> ReadMaps() const = 0;
  virtual std::vector<ProgramInfo> ReadPrograms() const = 0;
  virtual bool refuse_unknown() const = 0;

  // Checks with a connection of its own that the hooks run and none before them
  // rewrites (the effective order of cgroup programs). FailedPrecondition tells
  // what is in the way.
  virtual absl::Status Probe() = 0;
};

// Makes <bpffs>/tombolo/<instance>, which is this user's alone, and returns its path.
// FailedPrecondition when `bpffs` is none, or somebody else has made the directory.
absl::StatusOr<std::string> MakeInstanceDirectory(const std::string& bpffs,
                                                  const std::string& instance);

// Puts a TCP socket into a sockmap of its own, which then goes away with it in: for the
// self-test of what the kernel lets in.
absl::Status PutIntoSockmap(int fd);

}  // namespace tombolo::datapath
