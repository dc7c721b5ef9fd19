// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <boost/json/object.hpp>

#include "absl/status/statusor.h"
#include "admin/metrics.h"
#include "agent/agent_directory.h"
#include "directory/publisher.h"
#include "directory/subscriber.h"
#include "mesh/snapshot.h"
#include "source/agent_config.h"
#include "source/directory_records.h"

namespace tombolo::agent {

// A gateway's part in the directory in etcd: that it is there, and what its cluster exports, while
// no other gateway of it writes that. Owns threads that do the work. Of the control thread.
class Publishing {
 public:
  using FilePtr = directory::Subscriber::FilePtr;
  // The file put together with what others say. On another thread for later ones.
  using OnSnapshot = std::function<void(std::shared_ptr<mesh::Snapshot>)>;

  // With `config.shared_directory`; `file` is the directory file's, in which this gateway is
  // `config.node`. FailedPrecondition or InvalidArgument tells what the operator has to change.
  static absl::StatusOr<std::unique_ptr<Publishing>> Start(const source::AgentConfig& config,
                                                           const FilePtr& file,
                                                           OnSnapshot on_snapshot);

  // After a change of the file.
  void SetFile(const FilePtr& file);
  // Takes this gateway out of the directory, before a drain: others send nothing new. Returns at
  // once; destroying this waits for it, for the lease's ttl at most.
  void Withdraw();

  boost::json::object View() const;  // docs/admin-api.md: status.shared_directory
  std::vector<admin::Sample> Samples() const;
  std::set<std::string> Away() const;  // members of which no gateway can be reached

 private:
  Publishing(const source::AgentConfig& config, directory::Subscriber::Options options,
             OnSnapshot on_snapshot);
  std::optional<source::GatewayRecord> Own(const mesh::Snapshot& file) const;
  void Take(directory::Subscriber::Built built);

  const std::string cluster_, gateway_;
  const OnSnapshot on_snapshot_;
  mutable std::mutex mutex_;
  Refused refused_;                                  // guarded by mutex_
  std::shared_ptr<directory::Publisher> publisher_;  // guarded by mutex_; null: withdrawn
  std::future<void> withdrawn_;
  std::unique_ptr<directory::Subscriber> subscriber_;  // its threads call Take(): destroyed first
};

}  // namespace tombolo::agent
