// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "agent/connection_table.h"
#include "agent/context.h"
#include "agent/local_endpoints.h"
#include "agent/world.h"
#include "base/asio.h"
#include "tunnel/acceptor.h"

namespace tombolo::agent {

// Decides on the connections that arrive through one tunnel, one after the other, and
// connects them to this node's endpoints. `context` outlives it.
class Inbound final : public tunnel::ConnectionHandler {
 public:
  explicit Inbound(Context& context) : context_(context) {}

  Awaitable<Answer> Open(tunnel::Tunnel& tunnel, tunnel::proto::Open open) override;

  // What Open() has accepted last.
  Connection TakeConnection() { return std::move(connection_); }
  // That connection has ended. `reset_early`: by the endpoint, before its first byte, for which
  // others are preferred for a while.
  void OnConnectionEnd(bool reset_early) {
    if (reset_early) in_flight_.OnFailure(std::chrono::steady_clock::now());
    in_flight_ = {};
  }

 private:
  struct Choice {
    std::vector<const mesh::Endpoint*> endpoints;  // any of them will do
    Answer refusal;                                // when there is none
  };
  Choice Choose(const World& world, const tunnel::Tunnel& tunnel, const tunnel::proto::Open& open);
  const ServiceCountersPtr& CountersOf(const mesh::Snapshot& snapshot) const;
  Answer Refuse(Refusal reason, tunnel::proto::Code code, std::string message);
  Awaitable<absl::StatusOr<net::AsyncFd>> ConnectToOne(WorldPtr world,
                                                       std::vector<const mesh::Endpoint*> left,
                                                       tunnel::proto::Open& open);
  Awaitable<absl::StatusOr<net::AsyncFd>> Connect(WorldPtr world, const mesh::Endpoint& endpoint,
                                                  MonotonicTime deadline);
  Awaitable<absl::Status> Introduce(WorldPtr world, const mesh::Endpoint& endpoint,
                                    net::AsyncFd& connected, MonotonicTime deadline);

  Context& context_;
  Connection connection_;
  LocalEndpoints::Use in_flight_;
};

}  // namespace tombolo::agent
