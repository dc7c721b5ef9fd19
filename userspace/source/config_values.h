// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/log.h"
#include "net/address.h"

// The values that the programs' configurations and the directory share. Errors are values.h's.
namespace tombolo::source {

absl::StatusOr<net::SocketAddress> ParseListen(absl::string_view text);  // with a port
// "": none.
absl::StatusOr<std::optional<net::SocketAddress>> ParseListenOrOff(absl::string_view text);
// An address that a service may have.
absl::StatusOr<net::IpAddress> ParseVip(absl::string_view text);
// Somewhere to connect to. Loopback is right for an endpoint: it is the loopback
// of the workload's own network namespace.
absl::StatusOr<net::SocketAddress> ParseTarget(absl::string_view text);
absl::StatusOr<log::Level> ParseLevel(absl::string_view text);
absl::StatusOr<log::Format> ParseFormat(absl::string_view text);
absl::StatusOr<std::string> ParseTrustDomain(absl::string_view text);

// Parses a path, relative to the directory of the file that names it.
class PathParser {
 public:
  explicit PathParser(const std::string& file) : base_(std::filesystem::path(file).parent_path()) {}

  absl::StatusOr<std::string> operator()(absl::string_view text) const;

 private:
  std::filesystem::path base_;
};

}  // namespace tombolo::source
