// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/log.h"
#include "net/address.h"
#include "store/open.h"

namespace tombolo::ca {

inline constexpr std::chrono::minutes kShortestTtl{5};
inline constexpr std::chrono::hours kLongestTtl{24};

// An authority's ca.yaml (docs/configuration.md). Paths are complete: relative ones have been
// resolved against the file's directory.
struct CaConfig {
  struct Serve {
    net::SocketAddress listen;
    std::vector<std::string> names;  // DNS names and addresses that it is reached by
  };
  struct Admin {
    std::optional<net::SocketAddress> listen;  // none: turned off
  };
  struct Limits {
    std::uint32_t requests = 1024;  // for certificates, that wait or are under way
    std::uint32_t connections = 4096;
    std::uint32_t connections_per_address = 256;  // without an SVID
  };
  struct Log {
    log::Level level = log::Level::kInfo;
    log::Format format = log::Format::kText;
  };

  std::string trust_domain;
  StoreConfig store;
  std::string keys;  // a directory
  Serve serve;
  Admin admin;
  std::chrono::seconds ttl = std::chrono::hours(1);  // of leaves
  std::vector<std::string> directories;              // files
  std::uint32_t threads = 0;                         // 0: one per core
  Limits limits;
  Log log;

  CaConfig();                    // the documented defaults
  unsigned ThreadCount() const;  // what `threads` comes to here
};

// Reads and checks the file. InvalidArgument lists what is wrong, one error a line, each with file,
// line, key and value. `shortest_ttl` is for tests.
absl::StatusOr<CaConfig> LoadCaConfig(const std::string& path,
                                      std::chrono::seconds shortest_ttl = kShortestTtl);

// The text of a ca.yaml whose files are all in its own directory.
std::string DefaultCaConfig(const std::string& trust_domain);

}  // namespace tombolo::ca
