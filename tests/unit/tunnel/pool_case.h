// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <list>
#include <memory>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "tunnel/pool.h"
#include "unit/tunnel/tunnel_pair.h"

namespace tombolo::tunnel {

class PoolTest : public TunnelTest {
 protected:
  ~PoolTest() override { ShutDown(); }
  Pool& Make(Pool::Options options = {}) {
    pool_ = std::make_unique<Pool>(loop_.poller(), std::move(options));
    return *pool_;
  }
  void ShutDown() {
    if (pool_ != nullptr) loop_.Run(pool_->ShutDown());
    pool_.reset();
  }
  // A tunnel for `key`; the acceptor's side stays in raw_.
  std::unique_ptr<Tunnel> Dial(const std::string& key) {
    auto [a, b] = Handshake();
    raw_.push_back(std::move(b));
    auto tunnel = std::make_unique<Tunnel>(std::move(a), Role::kDialer);
    tunnel->pool_key = key;
    return tunnel;
  }
  bool ClosedInOrder(tls::Session& raw) {
    const absl::Status status = loop_.Run(raw.stream->Receive(Soon())).status();
    EXPECT_TRUE(absl::IsOutOfRange(status)) << status;
    return absl::IsOutOfRange(status);
  }
  bool BecomesEmpty() {
    return loop_.RunUntil([&] { return pool_->size() == 0; });
  }

  std::unique_ptr<Pool> pool_;
  std::list<tls::Session> raw_;
};

}  // namespace tombolo::tunnel
