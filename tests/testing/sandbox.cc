// SPDX-License-Identifier: Apache-2.0
#include "testing/sandbox.h"

#include <linux/capability.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/fd.h"
#include "base/status_macros.h"
#include "net/namespace.h"

namespace tombolo::test {
namespace {

// Kept from <linux/capability.h> so that old headers build this too.
constexpr int kCapBpf = 39;

absl::Status CheckCapabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> data{};
  if (syscall(SYS_capget, &header, data.data()) != 0) return ErrnoStatus(errno, "capget");
  constexpr std::array<std::pair<int, const char*>, 3> kNeeded = {
      {{CAP_SYS_ADMIN, "CAP_SYS_ADMIN"}, {CAP_NET_ADMIN, "CAP_NET_ADMIN"}, {kCapBpf, "CAP_BPF"}}};
  for (const auto& [bit, name] : kNeeded) {
    if ((data[bit / 32].effective & (1u << (bit % 32))) == 0) {
      return absl::PermissionDeniedError(name);
    }
  }
  return absl::OkStatus();
}

absl::Status RaiseLoopback() {
  const Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::strncpy(request.ifr_name, "lo", sizeof(request.ifr_name) - 1);
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  if (!socket.valid() || ioctl(socket.get(), SIOCSIFFLAGS, &request) != 0) {
    return ErrnoStatus(errno, "bring lo up");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> MountBpffs() {
  if (mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return ErrnoStatus(errno, "make mounts private");
  }
  // Over a directory that exists everywhere, in this mount namespace only.
  const std::string path = "/sys/fs/bpf";
  if (mount("bpf", path.c_str(), "bpf", 0, "mode=0700") != 0) {
    return ErrnoStatus(errno, absl::StrCat("mount a BPF file system at '", path, "'"));
  }
  return path;
}

absl::StatusOr<Sandbox> Enter() {
  RETURN_IF_ERROR(CheckCapabilities());
  if (unshare(CLONE_NEWNET | CLONE_NEWNS) != 0) return ErrnoStatus(errno, "unshare");
  RETURN_IF_ERROR(RaiseLoopback());
  Sandbox sandbox;
  ASSIGN_OR_RETURN(sandbox.bpffs, MountBpffs());
  ASSIGN_OR_RETURN(const net::NetworkNamespace ns, net::NetworkNamespace::OfThisThread());
  sandbox.netns_cookie = ns.cookie();
  return sandbox;
}

}  // namespace

absl::StatusOr<Sandbox> EnterSandbox() {
  static const auto* sandbox = new absl::StatusOr<Sandbox>(Enter());
  return *sandbox;
}

}  // namespace tombolo::test
