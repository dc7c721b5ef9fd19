// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "datapath/datapath.h"
#include "datapath/object.h"
#include "datapath/pending.h"

namespace tombolo::datapath {

// The Datapath over the pinned capture object.
class Capture final : public Datapath {
 public:
  static absl::StatusOr<std::unique_ptr<Capture>> Open(const Options& options);

  absl::Status Apply(const DesiredState& desired) override;
  absl::Status MarkListener(int fd) override;
  absl::StatusOr<OriginalDestination> TakeOriginalDestination(
      std::uint64_t netns_cookie, const net::SocketAddress& client,
      const net::SocketAddress& listener) override;
  void SweepPending() override;
  std::vector<std::uint64_t> EnrolledCgroups() const override;
  std::vector<Counter> ReadCounters() const override;
  std::vector<MapInfo> ReadMaps() const override;
  std::vector<ProgramInfo> ReadPrograms() const override;
  bool refuse_unknown() const override;
  absl::Status Probe() override;

 private:
  Capture(LoadedObject object, PendingCounters pending, std::string cgroup_path);
  absl::Status WriteConfig(const Options& options);
  absl::Status ForgetPending();

  LoadedObject object_;
  PendingCounters pending_;
  std::string cgroup_path_;
  absl::flat_hash_set<std::uint64_t> waiting_;  // socket cookies, as of the last sweep
};

}  // namespace tombolo::datapath
