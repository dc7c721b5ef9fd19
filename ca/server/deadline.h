// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include <boost/asio/ip/tcp.hpp>

#include "base/asio.h"
#include "base/time.h"

namespace tombolo::ca::https {

// Cancels what waits on a socket when it takes too long. Unlike Beast's streams it leaves the
// socket open: a client is told that it was too slow. Lives on the socket's thread, and not longer
// than it.
class Deadline {
 public:
  explicit Deadline(asio::ip::tcp::socket& socket);
  ~Deadline();
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;

  // `time` from now on, in place of the one before.
  void Set(Duration time);
  void Clear();
  bool passed() const;  // since the last Set()

 private:
  struct State;
  static void Arm(const std::shared_ptr<State>& state, Duration time);

  const std::shared_ptr<State> state_;
};

}  // namespace tombolo::ca::https
