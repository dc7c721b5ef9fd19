// SPDX-License-Identifier: Apache-2.0
#include <cerrno>
#include <cstdint>

#include <bpf/bpf.h>

#include "base/errno_status.h"
#include "base/fd.h"
#include "datapath/datapath.h"

namespace tombolo::datapath {

absl::Status PutIntoSockmap(int fd) {
  const Fd map(bpf_map_create(BPF_MAP_TYPE_SOCKMAP, "tb_selftest", sizeof(std::uint32_t),
                              sizeof(std::uint32_t), /*max_entries=*/1, /*opts=*/nullptr));
  if (!map.valid()) return ErrnoStatus(errno, "create a sockmap");
  const std::uint32_t key = 0;
  const auto value = static_cast<std::uint32_t>(fd);
  if (bpf_map_update_elem(map.get(), &key, &value, BPF_ANY) != 0) {
    return ErrnoStatus(errno, "put a socket into a sockmap");
  }
  return absl::OkStatus();
}

}  // namespace tombolo::datapath
