// SPDX-License-Identifier: Apache-2.0
#include "verdict.h"

#include <cerrno>
#include <cstdint>
#include <utility>

#include <bpf/bpf.h>

#include "base/errno_status.h"
#include "base/status_macros.h"
#include "datapath/skeleton.h"
#include "net/socket.h"
#include "verdict.skel.h"

namespace tombolo::bench {
namespace {

using Programs = datapath::Skeleton<verdict>;

absl::Status Put(const bpf_map* map, std::uint32_t port, int fd) {
  const auto value = static_cast<std::uint32_t>(fd);
  if (bpf_map_update_elem(bpf_map__fd(map), &port, &value, BPF_ANY) == 0) return absl::OkStatus();
  return ErrnoStatus(errno, "put a socket into a sockhash");
}

class LoadedVerdict final : public Verdict {
 public:
  explicit LoadedVerdict(Programs programs) : programs_(std::move(programs)) {}

  absl::Status Join(int from, int to) override {
    ASSIGN_OR_RETURN(const auto sender, net::PeerAddress(from));
    RETURN_IF_ERROR(Put(programs_->maps.tb_verdict_to, sender.port, to));
    return Put(programs_->maps.tb_verdict_from, sender.port, from);
  }

 private:
  Programs programs_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Verdict>> Verdict::Load() {
  ASSIGN_OR_RETURN(Programs programs, Programs::Open());
  RETURN_IF_ERROR(programs.Load());
  const int program = bpf_program__fd(programs->progs.tb_verdict);
  const int map = bpf_map__fd(programs->maps.tb_verdict_from);
  if (bpf_prog_attach(program, map, BPF_SK_SKB_STREAM_VERDICT, 0) != 0) {
    return ErrnoStatus(errno, "attach the stream verdict program");
  }
  return std::make_unique<LoadedVerdict>(std::move(programs));
}

}  // namespace tombolo::bench
