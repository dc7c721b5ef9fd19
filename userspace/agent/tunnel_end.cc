// SPDX-License-Identifier: Apache-2.0
#include "agent/tunnel_end.h"

#include "base/rate_limited_log.h"

namespace tombolo::agent {

void ReportEnd(Counters& counters, const tunnel::Tunnel& tunnel, const absl::Status& ended) {
  if (absl::IsInvalidArgument(ended)) Add(counters.tunnel_protocol_errors);
  log::WriteLimited(
      log::Level::kInfo, "tunnel ended", absl::StatusCodeToString(ended.code()),
      {{"peer", tunnel.peer_address}, {"peer_id", tunnel.info().peer.text()}, {"reason", ended}});
}

}  // namespace tombolo::agent
