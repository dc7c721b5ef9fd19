// SPDX-License-Identifier: Apache-2.0
#include "agent/config_reload.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/log.h"

namespace tombolo::agent {

absl::Status ReloadConfig(const std::string& path, source::AgentConfig& running) {
  std::optional<source::Role> role;
  if (running.role_overridden) role = running.role;
  absl::StatusOr<source::AgentConfig> wanted = source::LoadAgentConfig(path, role);
  if (!wanted.ok()) {
    log::Error("configuration not taken over", {{"reason", wanted.status()}});
    return wanted.status();
  }
  absl::Status status;
  if (const auto keys = source::RestartOnlyDifferences(running, *wanted); !keys.empty()) {
    status = absl::FailedPreconditionError(
        absl::StrCat("a restart is needed for a change of ", absl::StrJoin(keys, ", ")));
    log::Warning("configuration partly taken over", {{"reason", status}});
  }
  // Of another role everything means something else.
  if (wanted->role != running.role) return status;
  running.directory = wanted->directory;
  if (!running.identity.authority && !wanted->identity.authority) {
    running.identity = wanted->identity;
  }
  running.links = wanted->links;
  running.deadlines = wanted->deadlines;
  running.limits = wanted->limits;
  running.capture.protected_ranges = wanted->capture.protected_ranges;
  if (!(running.log == wanted->log)) log::SetLevel(wanted->log.level);
  running.log = wanted->log;
  return status;
}

void LogDirectory(const absl::Status& read, const mesh::Snapshot& used) {
  if (!read.ok()) return log::Error("directory not taken over", {{"reason", read}});
  log::Info("directory loaded", {{"version", used.version},
                                 {"services", used.services.size()},
                                 {"workloads", used.workloads.size()}});
}

Awaitable<void> FollowChanges(source::FileWatcher& watcher, std::function<void()> reload) {
  // Not as the loop's condition: g++ 12 miscompiles a co_await there.
  for (;;) {
    const absl::Status changed = co_await watcher.Changed();
    if (!changed.ok()) co_return;
    reload();
  }
}

}  // namespace tombolo::agent
