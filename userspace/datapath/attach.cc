// SPDX-License-Identifier: Apache-2.0
#include "datapath/attach.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <optional>

#include <bpf/bpf.h>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/status_macros.h"

namespace tombolo::datapath {
namespace {

constexpr std::array<const char*, 5> kPrograms = {"tb_connect4", "tb_connect6", "tb_getpeername4",
                                                  "tb_getpeername6", "tb_sockops"};

absl::StatusOr<bpf_link_info> LinkInfo(int fd, const std::string& path) {
  bpf_link_info info{};
  std::uint32_t length = sizeof(info);
  if (const int rc = bpf_obj_get_info_by_fd(fd, &info, &length); rc != 0) {
    return ErrnoStatus(-rc, absl::StrCat("read information of link '", path, "'"));
  }
  return info;
}

// Pins every map of the program that has no pin.
absl::Status PinMapsOf(const Pins& pins, std::uint32_t program_id) {
  std::array<std::uint32_t, 64> ids{};
  const Fd program(bpf_prog_get_fd_by_id(program_id));
  if (!program.valid()) return absl::OkStatus();  // gone with its link
  bpf_prog_info info{};
  info.nr_map_ids = ids.size();
  info.map_ids = reinterpret_cast<std::uintptr_t>(ids.data());
  std::uint32_t length = sizeof(info);
  if (const int rc = bpf_obj_get_info_by_fd(program.get(), &info, &length); rc != 0) {
    return ErrnoStatus(-rc, absl::StrCat("read information of program ", program_id));
  }
  for (std::uint32_t i = 0; i < info.nr_map_ids && i < ids.size(); ++i) {
    const Fd map(bpf_map_get_fd_by_id(ids[i]));
    bpf_map_info map_info{};
    length = sizeof(map_info);
    if (!map.valid() || bpf_obj_get_info_by_fd(map.get(), &map_info, &length) != 0) {
      return absl::InternalError(absl::StrCat("map ", ids[i], " of a running program is gone"));
    }
    const absl::Status status = Pin(map.get(), pins.MapPath(map_info.name));
    if (!status.ok() && ErrnoOf(status) != EEXIST) return status;
  }
  return absl::OkStatus();
}

absl::StatusOr<Fd> OpenCgroup(const std::string& path, std::uint64_t& id) {
  Fd fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  struct stat info {};
  if (!fd.valid() || fstat(fd.get(), &info) != 0) {
    return ErrnoStatus(errno, absl::StrCat("open cgroup '", path, "'"));
  }
  id = info.st_ino;  // a cgroup's id is its directory's inode (fs/kernfs)
  return fd;
}

// True when the link is alive on that cgroup and now runs the program.
absl::StatusOr<bool> Update(int link, const LoadedProgram& program, std::uint64_t cgroup_id) {
  ASSIGN_OR_RETURN(const bpf_link_info info, LinkInfo(link, program.info.pin));
  if (info.type != BPF_LINK_TYPE_CGROUP || info.cgroup.cgroup_id != cgroup_id ||
      info.cgroup.attach_type != program.attach_type) {
    return false;  // another cgroup, or one that was removed (id 0)
  }
  const int rc = bpf_link_update(link, program.fd.get(), nullptr);
  if (rc == -ENOLINK) return false;  // its cgroup was removed just now
  if (rc == 0) return true;
  return ErrnoStatus(-rc, absl::StrCat("replace the program of '", program.info.pin, "'"));
}

}  // namespace

absl::Status RepairPins(const Pins& pins) {
  for (const char* name : kPrograms) RETURN_IF_ERROR(FinishReplacePin(pins.LinkPath(name)));
  for (const char* name : kPrograms) {
    ASSIGN_OR_RETURN(std::optional<Fd> link, OpenPin(pins.LinkPath(name)));
    if (!link) continue;
    ASSIGN_OR_RETURN(const bpf_link_info info, LinkInfo(link->get(), pins.LinkPath(name)));
    RETURN_IF_ERROR(PinMapsOf(pins, info.prog_id));
  }
  return absl::OkStatus();
}

absl::Status Attach(const LoadedProgram& program, const std::string& cgroup_path) {
  std::uint64_t cgroup_id = 0;
  ASSIGN_OR_RETURN(const Fd cgroup, OpenCgroup(cgroup_path, cgroup_id));
  ASSIGN_OR_RETURN(const std::optional<Fd> old, OpenPin(program.info.pin));
  if (old) {
    ASSIGN_OR_RETURN(const bool updated, Update(old->get(), program, cgroup_id));
    if (updated) return absl::OkStatus();
  }
  const Fd link(bpf_link_create(program.fd.get(), cgroup.get(),
                                static_cast<bpf_attach_type>(program.attach_type), nullptr));
  if (!link.valid()) {
    return ErrnoStatus(
        errno, absl::StrCat("attach ", program.info.name, " to cgroup '", cgroup_path, "'"));
  }
  RETURN_IF_ERROR(ReplacePin(link.get(), program.info.pin));
  // While both were attached, connections from below both were refused: the second
  // hook sees the listener for a destination and forgets what the first stored.
  if (old) (void)bpf_link_detach(old->get());  // fails when its cgroup is gone
  return absl::OkStatus();
}

}  // namespace tombolo::datapath
