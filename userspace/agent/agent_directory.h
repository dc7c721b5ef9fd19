// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <set>
#include <string>
#include <vector>

#include <boost/json/object.hpp>

#include "absl/status/statusor.h"
#include "admin/metrics.h"
#include "directory/subscriber.h"
#include "source/agent_config.h"
#include "source/shared_directory.h"

// The directory that the clusters share in etcd, as an agent uses and shows it.
namespace tombolo::agent {

// Of `config.shared_directory`, which is there; reads the files that it names. `publish`: what the
// own cluster says is planned, too.
absl::StatusOr<directory::Subscriber::Options> SubscriberOptions(const source::AgentConfig& config,
                                                                 bool publish);

// What does not count of what others say; each is logged once. Of one thread.
class Refused {
 public:
  void Set(source::Refusals refusals);
  const source::Refusals& refusals() const { return refusals_; }
  // Members of which no gateway can be reached.
  std::set<std::string> Away() const;

 private:
  source::Refusals refusals_;
  std::set<source::Refusal> told_;
};

// docs/admin-api.md: status.shared_directory.
boost::json::object SharedDirectoryJson(const directory::Subscriber::View& view,
                                        const Refused& refused);
std::vector<admin::Sample> SharedDirectorySamples(const directory::Subscriber::View& view,
                                                  const Refused& refused);

}  // namespace tombolo::agent
