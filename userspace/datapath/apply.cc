// SPDX-License-Identifier: Apache-2.0
#include "datapath/apply.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <ctime>
#include <optional>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
#include "datapath/keys.h"

namespace tombolo::datapath {
namespace {

// Plain structs without padding: their bytes are their identity.
template <typename Key>
absl::string_view Bytes(const Key& key) {
  return {reinterpret_cast<const char*>(&key), sizeof(key)};
}
template <typename Value>
bool Same(const Value& a, const Value& b) {
  return Bytes(a) == Bytes(b);
}

// Boot time: tombstones live exactly as long as the kernel.
std::uint64_t NowMs() {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1000 + now.tv_nsec / 1000000;
}

tb_service ServiceOf(const DesiredState::Service& service) {
  const bool capture = service.action == DesiredState::Action::kCapture;
  return {.id = service.id,
          .buried_ms = 0,
          .action = capture ? TB_ACTION_CAPTURE : TB_ACTION_REFUSE,
          .reserved = 0};
}

}  // namespace

absl::Status Change::Run() {
  Note(ReadRanges());
  if (failures_ != 0) return first_failure_;
  if (desired_.closed) {
    needed_flags_ |= TB_CONFIG_REFUSE_UNKNOWN | TB_CONFIG_REFUSE_UNENROLLED;
    Note(SetFlags(needed_flags_, /*keep=*/true));
  }
  AddRanges();
  Note(ApplyAllowed());
  Note(ApplyServices());
  Note(ApplyWorkloads());
  if (failures_ == 0) RemoveRanges();
  // Only now do flags go that an earlier failure left: until here they still held.
  Note(SetFlags(needed_flags_, /*keep=*/false));
  if (failures_ < 2) return first_failure_;
  return Annotate(first_failure_, absl::StrCat(failures_, " changes failed, the first"));
}

absl::Status Change::ReadRanges() {
  ASSIGN_OR_RETURN(ranges_, maps_.ranges.Entries());
  return absl::OkStatus();
}

void Change::AddRanges() {
  for (const net::Prefix& prefix : desired_.protected_ranges) AddRange(prefix, TB_RANGE_GUARDED);
  for (const net::Prefix& prefix : desired_.service_ranges) {
    AddRange(prefix, TB_RANGE_GUARDED | TB_RANGE_CLOSED);
  }
}

void Change::AddRange(const net::Prefix& prefix, std::uint32_t flags) {
  RangeEntry wanted{RangeKey(prefix), flags};
  bool present = false;
  for (const RangeEntry& known : ranges_) {
    const bool same = Same(known.first, wanted.first);
    present |= same && (known.second & flags) == flags;
    // The longest prefix decides alone, so it takes over what its
    // surroundings say.
    const bool inside = known.first.prefix_length <= wanted.first.prefix_length &&
                        PrefixOf(known.first).Contains(prefix.ip);
    if (inside) wanted.second |= known.second & TB_RANGE_CLOSED;
  }
  if (!present) WriteRange(wanted);
}

// A closed range stands for reclaimed tombstones, or for services that are to come, and outlives
// its guard.
void Change::RemoveRanges() {
  absl::flat_hash_set<std::string> wanted;
  for (const auto* prefixes : {&desired_.protected_ranges, &desired_.service_ranges}) {
    for (const net::Prefix& prefix : *prefixes) wanted.emplace(Bytes(RangeKey(prefix)));
  }
  const std::vector<RangeEntry> known = ranges_;
  for (const auto& [key, flags] : known) {
    if (wanted.contains(Bytes(key))) continue;
    if ((flags & TB_RANGE_CLOSED) != 0) {
      if (flags != TB_RANGE_CLOSED) WriteRange({key, TB_RANGE_CLOSED});
    } else {
      Note(maps_.ranges.Erase(key));
    }
  }
}

bool Change::WriteRange(const RangeEntry& entry) {
  const absl::Status status = maps_.ranges.Upsert(entry.first, entry.second);
  Note(status, TB_CONFIG_REFUSE_UNKNOWN | TB_CONFIG_REFUSE_UNENROLLED);
  if (!status.ok()) return false;
  for (RangeEntry& known : ranges_) {
    if (Same(known.first, entry.first)) {
      known.second = entry.second;
      return true;
    }
  }
  ranges_.push_back(entry);
  return true;
}

// A pair opens nothing before its service and its workload are known.
absl::Status Change::ApplyAllowed() {
  ASSIGN_OR_RETURN(const auto current, maps_.allowed.Entries());
  absl::flat_hash_set<std::string> wanted;
  for (const DesiredState::Allowed& pair : desired_.allowed) {
    wanted.emplace(Bytes(tb_allowed_key{pair.cgroup_id, pair.service_id}));
  }
  absl::flat_hash_set<std::string> present;
  for (const auto& [key, unused] : current) {
    if (wanted.contains(Bytes(key))) {
      present.emplace(Bytes(key));
    } else {
      Note(maps_.allowed.Erase(key));
    }
  }
  for (const DesiredState::Allowed& pair : desired_.allowed) {
    const tb_allowed_key key{pair.cgroup_id, pair.service_id};
    // One that does not fit is refused with EACCES: closed without a flag, but
    // reported all the same.
    if (present.emplace(Bytes(key)).second) Note(maps_.allowed.Upsert(key, 1), /*flags=*/0);
  }
  return absl::OkStatus();
}

absl::Status Change::ApplyServices() {
  ASSIGN_OR_RETURN(const auto current, maps_.services.Entries());
  absl::flat_hash_map<std::string, tb_service> wanted;
  for (const DesiredState::Service& service : desired_.services) {
    wanted.insert_or_assign(std::string(Bytes(ServiceKey(service.vip))), ServiceOf(service));
  }
  const std::uint64_t now_ms = NowMs();
  for (auto [key, service] : current) {
    if (service.action == TB_ACTION_PROBE) {
      if (wanted.erase(Bytes(key)) != 0) {
        Note(absl::InvalidArgumentError(
            absl::StrCat(VipOf(key).ToString(), " is reserved for the probe")));
      }
      continue;
    }
    if (const auto it = wanted.find(Bytes(key)); it != wanted.end()) {
      if (!Same(service, it->second)) Note(maps_.services.Upsert(key, it->second));
      wanted.erase(it);
      continue;
    }
    if (service.action != TB_ACTION_TOMBSTONE) {
      service.action = TB_ACTION_TOMBSTONE;
      service.buried_ms = now_ms;
      Note(maps_.services.Upsert(key, service));  // in place: needs no room
    }
    tombstones_.emplace_back(key, service);
  }
  std::sort(tombstones_.begin(), tombstones_.end(),
            [](const auto& a, const auto& b) { return a.second.buried_ms > b.second.buried_ms; });
  for (const DesiredState::Service& service : desired_.services) {
    const tb_service_key key = ServiceKey(service.vip);
    const auto it = wanted.find(Bytes(key));
    if (it == wanted.end()) continue;
    InsertService(key, it->second);
    wanted.erase(it);
  }
  return absl::OkStatus();
}

void Change::InsertService(const tb_service_key& key, const tb_service& service) {
  absl::Status status = maps_.services.Upsert(key, service);
  while (ErrnoOf(status) == E2BIG && ReclaimTombstone()) {
    status = maps_.services.Upsert(key, service);
  }
  Note(Annotate(status, VipOf(key).ToString()));
}

// Gives up the oldest tombstone that a guarded range covers, after closing that
// range for what is no service: what the tombstone refused stays refused.
bool Change::ReclaimTombstone() {
  for (auto it = tombstones_.rbegin(); it != tombstones_.rend(); ++it) {
    const net::IpAddress address = FromAbi(it->first.address);
    std::optional<RangeEntry> nearest;
    for (const RangeEntry& range : ranges_) {
      if (!PrefixOf(range.first).Contains(address)) continue;
      if (!nearest || range.first.prefix_length > nearest->first.prefix_length) nearest = range;
    }
    if (!nearest || (nearest->second & TB_RANGE_GUARDED) == 0) continue;
    if ((nearest->second & TB_RANGE_CLOSED) == 0) {
      nearest->second |= TB_RANGE_CLOSED;
      if (!WriteRange(*nearest)) return false;
    }
    const absl::Status status = maps_.services.Erase(it->first);
    Note(status);
    tombstones_.erase(std::next(it).base());
    return status.ok();
  }
  return false;
}

absl::Status Change::ApplyWorkloads() {
  ASSIGN_OR_RETURN(const auto entries, maps_.workloads.Entries());
  absl::flat_hash_map<std::uint64_t, tb_workload> current(entries.begin(), entries.end());
  absl::flat_hash_map<std::uint64_t, bool> wanted;  // exempt?
  for (const auto& workload : desired_.workloads) wanted[workload.cgroup_id] = workload.exempt;
  std::vector<bool> used(pending_.slots(), false);
  for (const auto& [id, workload] : entries) {
    if (wanted.contains(id)) {
      if (workload.slot < used.size()) used[workload.slot] = true;
    } else {
      Note(maps_.workloads.Erase(id));
    }
  }
  for (const auto& [id, exempt] : wanted) {
    const std::uint32_t flags = exempt ? TB_WORKLOAD_EXEMPT : 0;
    absl::StatusOr<std::uint32_t> slot;
    if (const auto it = current.find(id); it != current.end()) {
      if (it->second.flags == flags) continue;
      slot = it->second.slot;
    } else {
      slot = FreeSlot(used);
    }
    // Without its entry a workload looks like anybody who is not enrolled.
    Note(slot.ok() ? maps_.workloads.Upsert(id, {*slot, flags}) : slot.status(),
         TB_CONFIG_REFUSE_UNKNOWN | TB_CONFIG_REFUSE_UNENROLLED);
  }
  return absl::OkStatus();
}

// Prefers slots that nothing is pending in: connections of a workload that is
// gone may still be counted in its slot.
absl::StatusOr<std::uint32_t> Change::FreeSlot(std::vector<bool>& used) const {
  std::optional<std::uint32_t> free;
  for (std::uint32_t slot = 0; slot < used.size(); ++slot) {
    if (used[slot]) continue;
    if (!free) free = slot;
    if (pending_.Read(slot) > 0) continue;
    free = slot;
    break;
  }
  if (!free) return ErrnoStatus(E2BIG, "no free slot for a workload in map 'tb_pending'");
  used[*free] = true;
  return *free;
}

void Change::Note(const absl::Status& status, std::uint32_t flags) {
  if (status.ok()) return;
  ++failures_;
  if (first_failure_.ok()) first_failure_ = status;
  missing_service_ |= flags == TB_CONFIG_REFUSE_UNKNOWN;
  missing_workload_ |= (flags & TB_CONFIG_REFUSE_UNENROLLED) != 0;
  if (missing_service_ && missing_workload_) flags |= TB_CONFIG_REFUSE_STRANGERS;
  if ((needed_flags_ & flags) == flags) return;
  needed_flags_ |= flags;
  if (const absl::Status closed = SetFlags(needed_flags_, /*keep=*/true); !closed.ok()) {
    first_failure_ = closed;
  }
}

absl::Status Change::SetFlags(std::uint32_t flags, bool keep) {
  ASSIGN_OR_RETURN(tb_config config, maps_.config.Lookup(0));
  if (keep) flags |= config.flags;
  if (config.flags == flags) return absl::OkStatus();
  config.flags = flags;
  return maps_.config.Upsert(0, config);
}

}  // namespace tombolo::datapath
