// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "tls/record_settings.h"

namespace tombolo::tls {

// What this machine's kernel TLS was seen to do.
struct KernelTlsReport {
  struct Check {
    std::string name;  // "TLS_AES_128_GCM_SHA256", "no padding", "rekey", "splice send", ...
    absl::Status result;
  };
  KernelTls works;
  std::vector<Check> checks;
};

// Tries kernel TLS by what it does, not by the kernel's version: for each cipher
// suite and for rekeying, a stream in the kernel talks to one in user space over a
// loopback connection of its own, both ways, with data, control records and
// close_notify; then bulk through pipes. Takes some milliseconds; the process must ignore
// SIGPIPE.
//
// `put_into_sockmap` tries that with a socket (null: not checked). The kernel must refuse it
// once a socket has keys; one that does not gets none of ours, because a program
// could then take the plaintext away.
using PutIntoSockmap = std::function<absl::Status(int fd)>;
KernelTlsReport ProbeKernelTls(const PutIntoSockmap& put_into_sockmap = nullptr);

}  // namespace tombolo::tls
