// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "abi/capture.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/fd.h"
#include "datapath/datapath.h"
#include "datapath/map.h"
#include "datapath/pins.h"

namespace tombolo::datapath {

// The capture object's maps, and the descriptors that keep them.
struct Maps {
  std::vector<Fd> owned;
  Map<tb_service_key, tb_service> services;
  Map<std::uint64_t, tb_workload> workloads;
  Map<tb_allowed_key, std::uint32_t> allowed;
  Map<tb_range_key, std::uint32_t> ranges;
  Map<tb_connection_key, tb_original> originals;
  Map<std::uint32_t, tb_config> config;
  Map<int, std::uint32_t> listeners;  // key: a socket's descriptor
  RawMap pending;
  RawMap counters;  // per CPU
};

// A loaded program and where it belongs.
struct LoadedProgram {
  ProgramInfo info;
  Fd fd;
  std::uint32_t attach_type = 0;  // enum bpf_attach_type
};

struct LoadedObject {
  Maps maps;
  std::vector<LoadedProgram> programs;  // in the order in which they are to be attached
};

// Loads the programs with the instance's pinned maps, and pins the maps that
// were not there. FailedPrecondition when a pinned map has another layout or
// size.
absl::StatusOr<LoadedObject> LoadCapture(const Pins& pins, const Datapath::Options& options);

}  // namespace tombolo::datapath
