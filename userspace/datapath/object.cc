// SPDX-License-Identifier: Apache-2.0
#include "datapath/object.h"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <optional>
#include <string>
#include <utility>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/errno_status.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "capture.skel.h"
#include "datapath/probe.h"
#include "datapath/skeleton.h"

namespace tombolo::datapath {

std::string ShortVerifierLog(const std::string& log) {
  constexpr std::size_t kLines = 6;
  std::vector<std::string> lines = absl::StrSplit(log, '\n', absl::SkipWhitespace());
  lines.erase(std::remove_if(lines.begin(), lines.end(),
                             [](const std::string& line) {
                               return absl::StartsWith(line, "processed ");  // statistics
                             }),
              lines.end());
  if (lines.size() > kLines) lines.erase(lines.begin(), lines.end() - kLines);
  return absl::StrJoin(lines, " | ");
}

namespace {

__attribute__((format(printf, 2, 0))) int LogLibbpf(libbpf_print_level /*level*/,
                                                    const char* format, va_list arguments) {
  std::array<char, 2048> line{};
  const int length = vsnprintf(line.data(), line.size(), format, arguments);
  log::Debug("libbpf", {{"message", absl::StripTrailingAsciiWhitespace(line.data())}});
  return length;
}

// What an agent that runs now would have created; an earlier one may differ.
absl::Status CheckPinned(const bpf_map* map, const bpf_map_info& info, const std::string& path) {
  const auto differs = [&](const char* what, std::uint32_t pinned, std::uint32_t wanted) {
    return absl::FailedPreconditionError(absl::StrCat(
        "map pinned at '", path, "' has ", what, " ", pinned, ", this agent wants ", wanted,
        ": run an agent of that version and configuration, or "
        "remove the instance, which stops "
        "capture and opens what it refuses"));
  };
  if (info.type != bpf_map__type(map)) return differs("type", info.type, bpf_map__type(map));
  if (info.key_size != bpf_map__key_size(map)) {
    return differs("key size", info.key_size, bpf_map__key_size(map));
  }
  if (info.value_size != bpf_map__value_size(map)) {
    return differs("value size", info.value_size, bpf_map__value_size(map));
  }
  if (info.map_flags != bpf_map__map_flags(map)) {
    return differs("flags", info.map_flags, bpf_map__map_flags(map));
  }
  if (info.max_entries != bpf_map__max_entries(map)) {
    return differs("max_entries", info.max_entries, bpf_map__max_entries(map));
  }
  return absl::OkStatus();
}

absl::Status CheckLayout(int config_fd, const std::string& path) {
  const std::uint32_t zero = 0;
  tb_config config{};
  if (const int rc = bpf_map_lookup_elem(config_fd, &zero, &config); rc != 0) {
    return ErrnoStatus(-rc, absl::StrCat("read '", path, "'"));
  }
  // 0: its agent died before it wrote the first configuration.
  if (config.layout == 0 || config.layout == TB_LAYOUT) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("'", path, "' says layout ", config.layout, ", this agent knows ",
                   static_cast<int>(TB_LAYOUT),
                   ": run an agent of that version, or remove the "
                   "instance, which stops capture and opens what it refuses"));
}

absl::Status ReusePinned(const Pins& pins, bpf_map* map) {
  const std::string path = pins.MapPath(bpf_map__name(map));
  ASSIGN_OR_RETURN(std::optional<Fd> fd, OpenPin(path));
  if (!fd) return absl::OkStatus();
  bpf_map_info info{};
  std::uint32_t length = sizeof(info);
  if (const int rc = bpf_obj_get_info_by_fd(fd->get(), &info, &length); rc != 0) {
    return ErrnoStatus(-rc, absl::StrCat("read information of '", path, "'"));
  }
  RETURN_IF_ERROR(CheckPinned(map, info, path));
  if (absl::string_view(bpf_map__name(map)) == "tb_config") {
    RETURN_IF_ERROR(CheckLayout(fd->get(), path));
  }
  const int rc = bpf_map__reuse_fd(map, fd->get());  // duplicates it
  return rc == 0 ? absl::OkStatus() : ErrnoStatus(-rc, absl::StrCat("reuse '", path, "'"));
}

absl::Status PinNew(const Pins& pins, const bpf_map* map) {
  const std::string path = pins.MapPath(bpf_map__name(map));
  const absl::Status status = Pin(bpf_map__fd(map), path);
  return ErrnoOf(status) == EEXIST ? absl::OkStatus() : status;  // reused
}

absl::Status SetSizes(capture& skel, const Datapath::Options& options) {
  const std::array<std::pair<bpf_map*, std::uint32_t>, 5> sizes = {{
      {skel.maps.tb_services, options.max_services + kProbeServices},
      {skel.maps.tb_workloads, options.max_workloads},
      {skel.maps.tb_pending, options.max_workloads},
      {skel.maps.tb_allowed, options.max_allowed},
      {skel.maps.tb_orig_dst, options.max_pending},
  }};
  for (const auto& [map, size] : sizes) {
    if (const int rc = bpf_map__set_max_entries(map, size); rc != 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("size of map '", bpf_map__name(map), "': ", size));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Fd> Duplicate(int fd) {
  const int duplicate = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (duplicate < 0) return ErrnoStatus(errno, "duplicate a descriptor");
  return Fd(duplicate);
}

// Binds a typed view to a duplicate of the map's descriptor.
template <typename View>
absl::Status Bind(const bpf_map* map, std::vector<Fd>& owned, View& view) {
  ASSIGN_OR_RETURN(Fd fd, Duplicate(bpf_map__fd(map)));
  ASSIGN_OR_RETURN(view, View::Bind(fd.get(), bpf_map__name(map)));
  owned.push_back(std::move(fd));
  return absl::OkStatus();
}

absl::StatusOr<Maps> BindMaps(const capture& skel) {
  Maps maps;
  RETURN_IF_ERROR(Bind(skel.maps.tb_services, maps.owned, maps.services));
  RETURN_IF_ERROR(Bind(skel.maps.tb_workloads, maps.owned, maps.workloads));
  RETURN_IF_ERROR(Bind(skel.maps.tb_allowed, maps.owned, maps.allowed));
  RETURN_IF_ERROR(Bind(skel.maps.tb_protected, maps.owned, maps.ranges));
  RETURN_IF_ERROR(Bind(skel.maps.tb_orig_dst, maps.owned, maps.originals));
  RETURN_IF_ERROR(Bind(skel.maps.tb_config, maps.owned, maps.config));
  RETURN_IF_ERROR(Bind(skel.maps.tb_listeners, maps.owned, maps.listeners));
  RETURN_IF_ERROR(Bind(skel.maps.tb_pending, maps.owned, maps.pending));
  RETURN_IF_ERROR(Bind(skel.maps.tb_counters, maps.owned, maps.counters));
  return maps;
}

absl::Status AddProgram(const Pins& pins, const bpf_program* program, bpf_attach_type type,
                        std::vector<LoadedProgram>& out) {
  bpf_prog_info info{};
  std::uint32_t length = sizeof(info);
  if (const int rc = bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &length); rc != 0) {
    return ErrnoStatus(
        -rc, absl::StrCat("read information of program '", bpf_program__name(program), "'"));
  }
  LoadedProgram loaded;
  loaded.info.name = bpf_program__name(program);
  loaded.info.attach_type = bpf_program__section_name(program);
  loaded.info.pin = pins.LinkPath(loaded.info.name);
  loaded.info.id = info.id;
  ASSIGN_OR_RETURN(loaded.fd, Duplicate(bpf_program__fd(program)));
  loaded.attach_type = type;
  out.push_back(std::move(loaded));
  return absl::OkStatus();
}

// What captures comes last: a captured socket always meets the others.
absl::StatusOr<std::vector<LoadedProgram>> Programs(const Pins& pins, const capture& skel) {
  const std::array<std::pair<const bpf_program*, bpf_attach_type>, 5> order = {{
      {skel.progs.tb_sockops, BPF_CGROUP_SOCK_OPS},
      {skel.progs.tb_getpeername4, BPF_CGROUP_INET4_GETPEERNAME},
      {skel.progs.tb_getpeername6, BPF_CGROUP_INET6_GETPEERNAME},
      {skel.progs.tb_connect4, BPF_CGROUP_INET4_CONNECT},
      {skel.progs.tb_connect6, BPF_CGROUP_INET6_CONNECT},
  }};
  std::vector<LoadedProgram> programs;
  for (const auto& [program, type] : order) {
    RETURN_IF_ERROR(AddProgram(pins, program, type, programs));
  }
  return programs;
}

}  // namespace

absl::StatusOr<LoadedObject> LoadCapture(const Pins& pins, const Datapath::Options& options) {
  libbpf_set_print(LogLibbpf);
  ASSIGN_OR_RETURN(auto skel, Skeleton<capture>::Open());
  RETURN_IF_ERROR(SetSizes(*skel.operator->(), options));
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, skel->obj) {
    if (!bpf_map__is_internal(map)) RETURN_IF_ERROR(ReusePinned(pins, map));
  }
  RETURN_IF_ERROR(skel.Load());
  bpf_object__for_each_map(map, skel->obj) {
    if (!bpf_map__is_internal(map)) RETURN_IF_ERROR(PinNew(pins, map));
  }
  LoadedObject object;
  ASSIGN_OR_RETURN(object.maps, BindMaps(*skel.operator->()));
  ASSIGN_OR_RETURN(object.programs, Programs(pins, *skel.operator->()));
  return object;
}

}  // namespace tombolo::datapath
