// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "tls/record_settings.h"

namespace tombolo::tls {

// What this machine's kernel TLS was seen to do.
struct KernelTlsReport {
  struct Check {
    std::string name;  // "TLS_AES_128_GCM_SHA256", "rekey"
    absl::Status result;
  };
  KernelTls works;
  std::vector<Check> checks;
};

// Tries kernel TLS by what it does, not by the kernel's version: for each cipher
// suite and for rekeying, a stream in the kernel talks to one in user space over a
// loopback connection of its own, both ways, with data, control records and
// close_notify. Takes some milliseconds; the process must ignore SIGPIPE.
KernelTlsReport ProbeKernelTls();

}  // namespace tombolo::tls
