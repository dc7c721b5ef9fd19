// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "absl/status/status.h"
#include "admin/metrics.h"
#include "base/time.h"
#include "config/ca_config.h"
#include "core/view.h"
#include "serve/running_authority.h"

namespace tombolo::ca {

// Joins the HTTPS server to the authority: what it publishes, whom it asks, which certificate it
// shows. Stop() before the authority goes. Any thread may call Publish().
class Front {
 public:
  Front();
  ~Front();
  Front(const Front&) = delete;
  Front& operator=(const Front&) = delete;

  // From now on this is what everybody is told. The first call comes before Start().
  void Publish(const ViewPtr& view);

  absl::Status Start(const CaConfig& config, RunningAuthority& authority);
  void Stop(Duration patience);

  // On the thread of Start() and Stop().
  std::vector<admin::Sample> Samples() const;

 private:
  struct Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace tombolo::ca
