// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/time.h"
#include "store/store.h"
#include "tls/client_context.h"

namespace tombolo::ca {

// A store in an etcd cluster (3.4 or later), which any number of replicas share, by
// its JSON gateway. A majority of the members has to live. Any thread may use it;
// calls run beside each other. Must not be carried across a fork. Destroying it
// closes the connections.
class EtcdStore {
 public:
  static constexpr std::size_t kMaxEndpoints = 16;

  struct Options {
    // Of one cluster, tried in turn: https://host[:port], or http:// on loopback.
    std::vector<std::string> endpoints;
    std::string prefix = "/tombolo/";                 // of every key there
    std::shared_ptr<const tls::ClientContext> tls{};  // for https
    // Bounds: until one member can be asked, one answer, and a call in all.
    Duration connect = std::chrono::seconds(1);
    Duration answer = std::chrono::seconds(3);
    Duration call = std::chrono::seconds(6);
  };

  // Whether keys may begin so. InvalidArgument.
  static absl::Status CheckPrefix(absl::string_view prefix);

  // Asks nobody yet. InvalidArgument.
  static absl::StatusOr<std::unique_ptr<Store>> Open(Options options);
};

}  // namespace tombolo::ca
