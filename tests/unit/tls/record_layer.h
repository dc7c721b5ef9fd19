// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/strings/string_view.h"
#include "tls/kernel_tls_probe.h"
#include "tls/record_settings.h"
#include "tls/record_stream.h"

namespace tombolo::testing {

// The record layer under test: TOMBOLO_RECORD_LAYER is "kernel", or "splice" for the kernel with
// bulk through pipes, where the kernel has TLS (tests/vm), else user space. A peer in the test's
// own hands is always the latter.
inline absl::string_view LayerName() {
  const char* layer = std::getenv("TOMBOLO_RECORD_LAYER");
  return layer != nullptr ? layer : "user";
}

inline bool InKernel() { return LayerName() == "kernel" || LayerName() == "splice"; }

inline tls::RecordLayer LayerUnderTest() {
  return InKernel() ? tls::RecordLayer::kKernel : tls::RecordLayer::kUser;
}

// What the streams under test are made with. Ends the program where the kernel layer is
// asked for and does not work: what ran in user space must not pass for a test of it.
inline tls::KernelTls KernelUnderTest() {
  if (!InKernel()) return {};
  static const tls::KernelTls works = [] {
    const tls::KernelTlsReport report = tls::ProbeKernelTls();
    for (const auto& check : report.checks) {
      if (check.result.ok() || check.name == "rekey") continue;
      std::fprintf(stderr, "%s\n", (check.name + ": " + check.result.ToString()).c_str());
      std::abort();
    }
    tls::KernelTls works = report.works;
    works.splice_send &= LayerName() == "splice";
    works.splice_receive &= LayerName() == "splice";
    return works;
  }();
  return works;
}

}  // namespace tombolo::testing
