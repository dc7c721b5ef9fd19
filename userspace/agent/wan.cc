// SPDX-License-Identifier: Apache-2.0
#include "agent/wan.h"

#include <string>

#include "absl/status/status.h"
#include "base/log.h"

namespace tombolo::agent {
namespace {

// It does not take loss for congestion, which over long links it often is not, and after an idle
// time goes on at the rate that it knows, where others start slowly again unless
// net.ipv4.tcp_slow_start_after_idle is 0 (include/net/tcp.h, tcp_slow_start_after_idle_check
// leaves those with cong_control alone). That sysctl is the whole namespace's, so the
// administrator's.
constexpr char kBestOverWan[] = "bbr";

}  // namespace

net::WanOptions ChooseWanOptions(const source::AgentConfig::Wan& wan) {
  net::WanOptions options;
  options.max_segment = wan.max_segment;
  if (wan.congestion_control == "auto") {
    options.congestion_control = kBestOverWan;
  } else if (wan.congestion_control != "system") {
    options.congestion_control = wan.congestion_control;
  }
  absl::Status found;
  if (!options.congestion_control.empty()) {
    found = net::TryCongestionControl(options.congestion_control);
    // Tunnels are as good without it, only slower.
    if (!found.ok()) options.congestion_control.clear();
  }
  const bool wanted_by_name = wan.congestion_control != "auto" && !found.ok();
  log::Write(wanted_by_name ? log::Level::kWarning : log::Level::kInfo,
             "TCP of tunnels to gateways",
             {{"congestion_control",
               options.congestion_control.empty() ? "system" : options.congestion_control},
              {"max_segment", options.max_segment},
              {"tried", found}});
  return options;
}

}  // namespace tombolo::agent
