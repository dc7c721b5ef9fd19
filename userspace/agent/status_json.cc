// SPDX-License-Identifier: Apache-2.0
#include "agent/status_json.h"

#include <unistd.h>

#include <utility>

#include <boost/json/array.hpp>

#include "admin/process_metrics.h"
#include "agent/views.h"

namespace tombolo::agent {
namespace {

std::string Message(const absl::Status& status) { return std::string(status.message()); }

}  // namespace

boost::json::object ProcessJson(const ProcessState& state) {
  boost::json::array not_ready;
  for (const std::string& reason : state.not_ready) not_ready.emplace_back(reason);
  boost::json::object out;
  out["role"] = std::string(source::Name(state.config.role));
  out["instance"] = state.config.instance;
  out["cluster"] = state.config.cluster;
  out["node"] = state.config.node;
  out["version"] = std::string(admin::BuildVersion());
  out["pid"] = getpid();
  out["started_at"] = Rfc3339(state.started_at);
  out["ready"] = not_ready.empty();
  out["not_ready"] = std::move(not_ready);
  out["snapshot"] = boost::json::object{{"version", state.snapshot.version},
                                        {"loaded_at", Rfc3339(state.snapshot_loaded_at)},
                                        {"trust_domain", state.snapshot.trust_domain},
                                        {"error", Message(state.directory_status)}};
  out["config_error"] = Message(state.config_status);
  out["threads"] = state.threads;
  return out;
}

}  // namespace tombolo::agent
