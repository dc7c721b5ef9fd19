// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "base/asio.h"
#include "mesh/snapshot.h"
#include "source/agent_config.h"
#include "source/file_watcher.h"

namespace tombolo::agent {

// Reads a running agent's configuration again, and takes over what needs no restart. Says, and
// logs, why not all of it: a bad file changes nothing.
absl::Status ReloadConfig(const std::string& path, source::AgentConfig& running);

// Says how reading a directory again went; `used` is the one in use now.
void LogDirectory(const absl::Status& read, const mesh::Snapshot& used);

// Calls `reload` for each change that `watcher` sees, until that is cancelled. Both outlive the
// call.
Awaitable<void> FollowChanges(source::FileWatcher& watcher, std::function<void()> reload);

}  // namespace tombolo::agent
