// SPDX-License-Identifier: Apache-2.0
#include "redirect.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstdint>
#include <utility>

#include <bpf/bpf.h>

#include "abi/legs.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
#include "datapath/skeleton.h"
#include "legs.skel.h"
#include "net/socket.h"

namespace tombolo::bench {
namespace {

using Programs = datapath::Skeleton<legs>;

constexpr std::size_t kFlowsSize = sizeof(tb_leg_flow) << 16;  // an entry for each port

absl::Status Put(const bpf_map* map, std::uint32_t port, int fd) {
  const auto value = static_cast<std::uint32_t>(fd);
  if (bpf_map_update_elem(bpf_map__fd(map), &port, &value, BPF_ANY) == 0) return absl::OkStatus();
  return ErrnoStatus(errno, "put a socket into a sockhash");
}

absl::Status Take(const bpf_map* map, std::uint32_t port) {
  if (bpf_map_delete_elem(bpf_map__fd(map), &port) == 0) return absl::OkStatus();
  return ErrnoStatus(errno, "take a socket out of a sockhash");
}

class LoadedRedirect final : public Redirect {
 public:
  LoadedRedirect(Programs programs, tb_leg_flow* flows)
      : programs_(std::move(programs)), flows_(flows) {}
  ~LoadedRedirect() override {
    if (flows_ != nullptr) munmap(flows_, kFlowsSize);
  }

  absl::Status AddApplication(int application) override {
    ASSIGN_OR_RETURN(const auto local, net::LocalAddress(application));
    if (flows_ != nullptr) flows_[local.port] = {};
    return Put(programs_->maps.tb_leg_apps, local.port, application);
  }
  absl::Status AddAgent(int agent) override {
    ASSIGN_OR_RETURN(const auto peer, net::PeerAddress(agent));
    return Put(programs_->maps.tb_leg_agents, peer.port, agent);
  }
  absl::Status RemoveApplication(int application) override {
    ASSIGN_OR_RETURN(const auto local, net::LocalAddress(application));
    return Take(programs_->maps.tb_leg_apps, local.port);
  }
  absl::Status RemoveAgent(int agent) override {
    ASSIGN_OR_RETURN(const auto peer, net::PeerAddress(agent));
    return Take(programs_->maps.tb_leg_agents, peer.port);
  }
  absl::StatusOr<volatile std::uint64_t*> ReadCounter(int agent) override {
    if (flows_ == nullptr) return nullptr;
    ASSIGN_OR_RETURN(const auto peer, net::PeerAddress(agent));
    return reinterpret_cast<volatile std::uint64_t*>(&flows_[peer.port].read);
  }

 private:
  Programs programs_;
  tb_leg_flow* flows_;  // null: no limit
};

}  // namespace

absl::StatusOr<std::unique_ptr<Redirect>> Redirect::Load(std::size_t limit) {
  ASSIGN_OR_RETURN(Programs programs, Programs::Open());
  programs->rodata->queue_limit = limit;
  RETURN_IF_ERROR(programs.Load());
  const int program = bpf_program__fd(programs->progs.tb_leg_send);
  const int map = bpf_map__fd(programs->maps.tb_leg_apps);
  if (bpf_prog_attach(program, map, BPF_SK_MSG_VERDICT, 0) != 0) {
    return ErrnoStatus(errno, "attach the sk_msg program");
  }
  void* flows = nullptr;
  if (limit > 0) {
    flows = mmap(nullptr, kFlowsSize, PROT_READ | PROT_WRITE, MAP_SHARED,
                 bpf_map__fd(programs->maps.tb_leg_flows), 0);
    if (flows == MAP_FAILED) return ErrnoStatus(errno, "map tb_leg_flows");
  }
  return std::make_unique<LoadedRedirect>(std::move(programs), static_cast<tb_leg_flow*>(flows));
}

}  // namespace tombolo::bench
