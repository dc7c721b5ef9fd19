// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "datapath/datapath.h"
#include "datapath/object.h"
#include "datapath/pending.h"

namespace tombolo::datapath {

// One change of the kernel's maps to `desired`. Made for a single Run().
//
// The order keeps every moment closed: guards first; then pairs that are no
// longer allowed go; then services, so that a workload that is enrolled finds
// them known; then workloads; guards that are no longer wanted go last. At the
// first failure the refusing flags are set before anything else is done.
class Change {
 public:
  Change(const Maps& maps, const PendingCounters& pending, const DesiredState& desired)
      : maps_(maps), pending_(pending), desired_(desired) {}
  absl::Status Run();

 private:
  using RangeEntry = std::pair<tb_range_key, std::uint32_t>;

  absl::Status ReadRanges();
  void AddRanges();
  void AddRange(const net::Prefix& prefix, std::uint32_t flags);
  void RemoveRanges();
  bool WriteRange(const RangeEntry& entry);
  absl::Status ApplyAllowed();
  absl::Status ApplyServices();
  void InsertService(const tb_service_key& key, const tb_service& service);
  bool ReclaimTombstone();
  absl::Status ApplyWorkloads();
  absl::StatusOr<std::uint32_t> FreeSlot(std::vector<bool>& used) const;
  // Records a failure and closes at once; OK is ignored.
  void Note(const absl::Status& status, std::uint32_t flags = TB_CONFIG_REFUSE_UNKNOWN);
  absl::Status SetFlags(std::uint32_t flags, bool keep);

  const Maps& maps_;
  const PendingCounters& pending_;
  const DesiredState& desired_;
  std::vector<RangeEntry> ranges_;                                 // as the kernel holds them
  std::vector<std::pair<tb_service_key, tb_service>> tombstones_;  // newest first
  std::uint32_t needed_flags_ = 0;  // because of this change's failures
  bool missing_service_ = false;
  bool missing_workload_ = false;  // or range
  absl::Status first_failure_;
  std::size_t failures_ = 0;
};

}  // namespace tombolo::datapath
