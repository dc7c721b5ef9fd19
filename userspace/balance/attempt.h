// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "balance/choice.h"
#include "balance/plan.h"
#include "base/time.h"

namespace tombolo::balance {

// One connection, from the first try until it has ended: counted as in flight for as long as
// this lives, which may be longer than its Balancer. Report at most one outcome of the try; none
// when policy or a certificate refused the client: that says nothing about where it went, and a
// denied client must not eject it for others. Of a connection that was taken report how it ended,
// as far as that says something of the endpoint. On its Balancer's thread.
class Attempt {
 public:
  Attempt() = default;
  Attempt(std::shared_ptr<EndpointState> endpoint, std::shared_ptr<Way> way, MonotonicTime now);
  Attempt(Attempt&& other) noexcept = default;
  Attempt& operator=(Attempt&& other) noexcept;
  ~Attempt() { End(); }

  // The endpoint took the connection, `latency` after the try began. Forgets the failures of the
  // endpoint, the way to it and its cluster.
  void OnConnected(Duration latency, MonotonicTime now);
  // kWay counts against the way and its cluster; kEndpoint against the endpoint alone, and shows
  // that the way works.
  void OnFailure(Failure what, MonotonicTime now);
  // The connection has ended: in order, or something had come back.
  void OnAnswered();
  // The endpoint has reset it before its first byte, which counts against the endpoint.
  void OnReset(MonotonicTime now);

 private:
  void EndTrials();
  void End();

  std::shared_ptr<EndpointState> endpoint_;
  std::shared_ptr<Way> way_;
  MonotonicTime started_;
  // It is the trial of what was ejected.
  bool tries_endpoint_ = false;
  bool tries_way_ = false;
  bool tries_cluster_ = false;
};

}  // namespace tombolo::balance
