// SPDX-License-Identifier: Apache-2.0
#include "datapath/capture.h"

#include <array>
#include <cerrno>
#include <numeric>
#include <utility>

#include <bpf/libbpf.h>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
#include "datapath/apply.h"
#include "datapath/attach.h"
#include "datapath/keys.h"
#include "datapath/pins.h"
#include "datapath/probe.h"

namespace tombolo::datapath {
namespace {

constexpr std::array<const char*, TB_COUNTER_COUNT> kCounterNames = {
#define TB_COUNTER_NAME(id, name) #name,
    TB_COUNTERS(TB_COUNTER_NAME)
#undef TB_COUNTER_NAME
};

}  // namespace

absl::StatusOr<std::unique_ptr<Datapath>> Datapath::Open(const Options& options) {
  return Capture::Open(options);
}

absl::Status Datapath::Remove(const std::string& bpffs, const std::string& instance) {
  return Annotate(RemovePins(bpffs, instance),
                  absl::StrCat("remove datapath instance '", instance, "'"));
}

// The maps are complete before the first hook runs, so no hook sees them empty.
absl::StatusOr<std::unique_ptr<Capture>> Capture::Open(const Options& options) {
  ASSIGN_OR_RETURN(const Pins pins, Pins::Create(options.bpffs, options.instance));
  RETURN_IF_ERROR(RepairPins(pins));
  ASSIGN_OR_RETURN(LoadedObject object, LoadCapture(pins, options));
  ASSIGN_OR_RETURN(auto pending, PendingCounters::Map(object.maps.pending.fd(),
                                                      object.maps.pending.max_entries()));
  std::unique_ptr<Capture> capture(
      new Capture(std::move(object), std::move(pending), options.cgroup_path));
  RETURN_IF_ERROR(capture->WriteConfig(options));
  RETURN_IF_ERROR(WriteProbeServices(capture->object_.maps));
  RETURN_IF_ERROR(capture->ForgetPending());
  for (const LoadedProgram& program : capture->object_.programs) {
    RETURN_IF_ERROR(Attach(program, options.cgroup_path));
  }
  return capture;
}

Capture::Capture(LoadedObject object, PendingCounters pending, std::string cgroup_path)
    : object_(std::move(object)),
      pending_(std::move(pending)),
      cgroup_path_(std::move(cgroup_path)) {}

// Keeps the flags: what an earlier agent could not insert is still missing.
absl::Status Capture::WriteConfig(const Options& options) {
  ASSIGN_OR_RETURN(tb_config config, object_.maps.config.Lookup(0));
  config.layout = TB_LAYOUT;
  config.max_pending_per_workload = options.max_pending_per_workload;
  config.listener_port = htons(options.listener_port);
  return object_.maps.config.Upsert(0, config);
}

// What an earlier agent had not accepted died with its listeners: what has their 4-tuple
// from now on is another connection. An agent that died between taking an entry and
// counting it down left its counter too high for ever. What connects meanwhile can shift the
// counters by a few, until the next start.
absl::Status Capture::ForgetPending() {
  ASSIGN_OR_RETURN(const auto entries, object_.maps.originals.Entries());
  for (const auto& [key, original] : entries) RETURN_IF_ERROR(object_.maps.originals.Erase(key));
  for (std::uint32_t slot = 0; slot < pending_.slots(); ++slot) {
    pending_.Adjust(slot, -pending_.Read(slot));
  }
  return absl::OkStatus();
}

absl::Status Capture::Apply(const DesiredState& desired) {
  return Annotate(Change(object_.maps, pending_, desired).Run(), "apply to the datapath");
}

absl::Status Capture::MarkListener(int fd) {
  return Annotate(object_.maps.listeners.Upsert(fd, 1), "mark the listener");
}

absl::StatusOr<OriginalDestination> Capture::TakeOriginalDestination(
    std::uint64_t netns_cookie, const net::SocketAddress& client,
    const net::SocketAddress& listener) {
  const tb_connection_key key = {.netns_cookie = netns_cookie,
                                 .client = ToAbi(client.ip),
                                 .listener = ToAbi(listener.ip),
                                 .client_port = htons(client.port),
                                 .listener_port = htons(listener.port),
                                 .reserved = 0};
  const absl::StatusOr<tb_original> original = object_.maps.originals.Take(key);
  if (!original.ok()) {
    if (!absl::IsNotFound(original.status())) return original.status();
    return absl::NotFoundError(
        absl::StrCat(client.ToString(), " came to ", listener.ToString(),
                     " without the hook: a direct connection, or map 'tb_orig_dst' is full"));
  }
  pending_.Release(original->slot);
  return OriginalDestination{
      .destination = {.ip = FromAbi(original->address), .port = ntohs(original->port)},
      .cgroup_id = original->cgroup_id,
      .socket_cookie = original->socket_cookie};
}

void Capture::SweepPending() {
  const auto entries = object_.maps.originals.Entries();
  if (!entries.ok()) return;  // the next sweep sees them
  absl::flat_hash_set<std::uint64_t> waiting;
  for (const auto& [key, original] : *entries) {
    if (!waiting_.contains(original.socket_cookie)) {
      waiting.insert(original.socket_cookie);
    } else if (object_.maps.originals.Take(key).ok()) {
      pending_.Release(original.slot);
    }
  }
  waiting_ = std::move(waiting);
}

std::vector<std::uint64_t> Capture::EnrolledCgroups() const {
  std::vector<std::uint64_t> cgroups;
  const auto workloads = object_.maps.workloads.Entries();
  if (!workloads.ok()) return cgroups;
  for (const auto& [cgroup_id, workload] : *workloads) {
    if ((workload.flags & TB_WORKLOAD_EXEMPT) == 0) cgroups.push_back(cgroup_id);
  }
  return cgroups;
}

std::vector<Counter> Capture::ReadCounters() const {
  std::vector<Counter> counters;
  const int cpus = libbpf_num_possible_cpus();
  std::vector<std::uint64_t> per_cpu(cpus > 0 ? cpus : 0);
  for (std::uint32_t i = 0; i < kCounterNames.size(); ++i) {
    const bool read = !per_cpu.empty() && object_.maps.counters.Lookup(&i, per_cpu.data()).ok();
    const std::uint64_t sum = std::accumulate(per_cpu.begin(), per_cpu.end(), std::uint64_t{0});
    counters.push_back({kCounterNames[i], read ? sum : 0});
  }
  return counters;
}

// Arrays are always full and socket storage cannot be listed: only hashes say
// something. A map that cannot be read just now shows no entries.
std::vector<MapInfo> Capture::ReadMaps() const {
  const Maps& maps = object_.maps;
  std::vector<MapInfo> infos;
  for (const RawMap* map : {&maps.services.raw(), &maps.workloads.raw(), &maps.allowed.raw(),
                            &maps.ranges.raw(), &maps.originals.raw()}) {
    infos.push_back({map->name(), map->Count().value_or(0), map->max_entries()});
  }
  return infos;
}

std::vector<ProgramInfo> Capture::ReadPrograms() const {
  std::vector<ProgramInfo> infos;
  for (const LoadedProgram& program : object_.programs) infos.push_back(program.info);
  return infos;
}

// Unreadable counts as set: the caller reports the worse.
bool Capture::refuse_unknown() const {
  const absl::StatusOr<tb_config> config = object_.maps.config.Lookup(0);
  return !config.ok() || (config->flags & TB_CONFIG_REFUSE_UNKNOWN) != 0;
}

absl::Status Capture::Probe() { return ProbeHooks(object_.programs, cgroup_path_); }

}  // namespace tombolo::datapath
