// SPDX-License-Identifier: Apache-2.0
#include "base/fd.h"

#include <unistd.h>

namespace tombolo {

void Fd::Close() {
  // Linux frees the descriptor even when close() reports EINTR, so never twice.
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

}  // namespace tombolo
