// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/str_format.h"
#include "latency_histogram.h"

namespace tombolo::bench {

// The percentiles that the measuring programs know, in microseconds.
inline std::string LatencyJson(const LatencyHistogram& latency) {
  const auto us = [](std::uint64_t nanoseconds) { return static_cast<double>(nanoseconds) / 1e3; };
  return absl::StrFormat(R"({"p50":%.1f,"p90":%.1f,"p99":%.1f,"p99.9":%.1f,"max":%.1f})",
                         us(latency.Quantile(0.5)), us(latency.Quantile(0.9)),
                         us(latency.Quantile(0.99)), us(latency.Quantile(0.999)),
                         us(latency.max()));
}

}  // namespace tombolo::bench
