// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/fd.h"

namespace tombolo::datapath {

// The pins of one instance:
//
//   <bpffs>/tombolo/<instance>/maps/tb_services ...
//   <bpffs>/tombolo/<instance>/links/tb_connect4 ...
class Pins {
 public:
  // Checks that `bpffs` is one and creates the directories, mode 0700.
  static absl::StatusOr<Pins> Create(const std::string& bpffs, const std::string& instance);

  const std::string& directory() const { return directory_; }
  std::string MapPath(absl::string_view name) const;
  std::string LinkPath(absl::string_view name) const;

 private:
  explicit Pins(std::string directory) : directory_(std::move(directory)) {}
  std::string directory_;
};

// The pinned object, or nullopt when nothing is pinned there.
absl::StatusOr<std::optional<Fd>> OpenPin(const std::string& path);
absl::Status Pin(int fd, const std::string& path);
// Pins beside `path` and renames over it, so that there is always one; what was
// pinned before is let go.
absl::Status ReplacePin(int fd, const std::string& path);
// Ends a ReplacePin() that a crash interrupted.
absl::Status FinishReplacePin(const std::string& path);

// Detaches an instance's links and removes its pins. An absent instance is OK.
absl::Status RemovePins(const std::string& bpffs, const std::string& instance);

}  // namespace tombolo::datapath
