// SPDX-License-Identifier: Apache-2.0
#include "datapath/probe.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <vector>

#include <bpf/bpf.h>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
#include "datapath/keys.h"
#include "datapath/own_cgroup.h"
#include "net/socket.h"

namespace tombolo::datapath {
namespace {

constexpr std::array<const char*, kProbeServices> kProbeAddresses = {"192.0.2.1", "100::1"};
constexpr std::size_t kMaxCgroups = 20000;  // visited by one probe

absl::StatusOr<net::SocketAddress> ProbeAddress(const char* text) {
  ASSIGN_OR_RETURN(const net::IpAddress ip, net::IpAddress::Parse(text));
  return net::SocketAddress{.ip = ip, .port = TB_PROBE_PORT};
}

bool IsConnectHook(const LoadedProgram& program) {
  return program.attach_type == BPF_CGROUP_INET4_CONNECT ||
         program.attach_type == BPF_CGROUP_INET6_CONNECT;
}

// Program ids in the order in which they run. With `effective`, those of the
// ancestors too.
absl::StatusOr<std::vector<std::uint32_t>> Query(const std::string& cgroup,
                                                 std::uint32_t attach_type, bool effective) {
  const Fd fd(open(cgroup.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, absl::StrCat("open cgroup '", cgroup, "'"));
  std::vector<std::uint32_t> ids(64);
  std::uint32_t count = ids.size();
  std::uint32_t flags = 0;
  const int rc = bpf_prog_query(fd.get(), static_cast<bpf_attach_type>(attach_type),
                                effective ? BPF_F_QUERY_EFFECTIVE : 0, &flags, ids.data(), &count);
  if (rc != 0) return ErrnoStatus(-rc, absl::StrCat("query programs of cgroup '", cgroup, "'"));
  ids.resize(count);
  return ids;
}

absl::Status InTheWay(std::uint32_t id, const LoadedProgram& ours, const std::string& cgroup) {
  const Fd fd(bpf_prog_get_fd_by_id(id));
  bpf_prog_info info{};
  std::uint32_t length = sizeof(info);
  if (fd.valid()) (void)bpf_obj_get_info_by_fd(fd.get(), &info, &length);
  return absl::FailedPreconditionError(
      absl::StrCat("program '", info.name, "' (id ", id, ") on cgroup '", cgroup, "' runs before ",
                   ours.info.name,
                   " and may rewrite destinations: is another socket load "
                   "balancer active?"));
}

absl::Status CheckOrder(const LoadedProgram& ours, const std::string& cgroup) {
  ASSIGN_OR_RETURN(const auto ids, Query(cgroup, ours.attach_type, /*effective=*/true));
  if (std::find(ids.begin(), ids.end(), ours.info.id) == ids.end()) {
    return absl::FailedPreconditionError(
        absl::StrCat(ours.info.name, " is not attached to cgroup '", cgroup, "'"));
  }
  if (!IsConnectHook(ours) || ids.front() == ours.info.id) return absl::OkStatus();
  return InTheWay(ids.front(), ours, cgroup);
}

absl::Status CheckDescendants(const LoadedProgram& ours, const std::string& cgroup, int tries = 5) {
  namespace fs = std::filesystem;
  std::error_code error;
  std::size_t visited = 0;
  fs::recursive_directory_iterator it(cgroup, error);
  for (; !error && it != fs::recursive_directory_iterator(); it.increment(error)) {
    if (!it->is_directory(error) || error) continue;
    if (++visited > kMaxCgroups) {
      return absl::FailedPreconditionError(absl::StrCat(
          "more than ", kMaxCgroups, " cgroups below '", cgroup, "': cannot check them all"));
    }
    const absl::StatusOr<std::vector<std::uint32_t>> ids =
        Query(it->path().string(), ours.attach_type, /*effective=*/false);
    if (!ids.ok()) continue;  // removed meanwhile
    if (!ids->empty()) return InTheWay(ids->front(), ours, it->path().string());
  }
  if (!error) return absl::OkStatus();
  // A cgroup went away during the walk; what came after it was not looked at.
  if (tries > 1) return CheckDescendants(ours, cgroup, tries - 1);
  return absl::UnavailableError(
      absl::StrCat("list cgroups below '", cgroup, "': ", error.message()));
}

// The hook answers these destinations with an errno that nothing else gives.
absl::Status ProbeConnect(const char* text) {
  ASSIGN_OR_RETURN(const net::SocketAddress address, ProbeAddress(text));
  const absl::StatusOr<Fd> socket = net::TcpSocket(address);
  if (ErrnoOf(socket.status()) == EAFNOSUPPORT) return absl::OkStatus();  // no IPv6 here
  RETURN_IF_ERROR(socket.status());
  sockaddr_storage storage{};
  const socklen_t length = address.ToSockaddr(storage);
  const int rc = connect(socket->get(), reinterpret_cast<const sockaddr*>(&storage), length);
  if (rc != 0 && errno == TB_PROBE_ERRNO) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("probe: connect() to ", address.ToString(), " was not answered by the hook (",
                   rc == 0 ? "connected" : strerrordesc_np(errno),
                   "): another program rewrites or refuses connections before it"));
}

}  // namespace

absl::Status WriteProbeServices(const Maps& maps) {
  for (const char* text : kProbeAddresses) {
    ASSIGN_OR_RETURN(const net::SocketAddress address, ProbeAddress(text));
    RETURN_IF_ERROR(maps.services.Upsert(
        ServiceKey(address), {.id = 0, .buried_ms = 0, .action = TB_ACTION_PROBE, .reserved = 0}));
  }
  return absl::OkStatus();
}

absl::Status ProbeHooks(const std::vector<LoadedProgram>& programs,
                        const std::string& cgroup_path) {
  for (const LoadedProgram& program : programs) {
    RETURN_IF_ERROR(CheckOrder(program, cgroup_path));
    if (IsConnectHook(program)) RETURN_IF_ERROR(CheckDescendants(program, cgroup_path));
  }
  ASSIGN_OR_RETURN(const bool below, IsOwnCgroupBelow(cgroup_path));
  if (!below) return absl::OkStatus();  // hooks see only sockets from below their cgroup
  for (const char* address : kProbeAddresses) RETURN_IF_ERROR(ProbeConnect(address));
  return absl::OkStatus();
}

}  // namespace tombolo::datapath
