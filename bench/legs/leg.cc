// SPDX-License-Identifier: Apache-2.0
#include "leg.h"

#include <fcntl.h>

#include <utility>

#include "base/status_macros.h"
#include "net/socket.h"

namespace tombolo::bench {

void SetBlocking(int fd, bool blocking) {
  const int flags = fcntl(fd, F_GETFL);
  fcntl(fd, F_SETFL, blocking ? flags & ~O_NONBLOCK : flags | O_NONBLOCK);
}

absl::StatusOr<Leg> OpenLeg(Redirect* redirect) {
  ASSIGN_OR_RETURN(auto pair, net::LoopbackPair());
  Leg leg{.application = std::move(pair.first), .agent = std::move(pair.second)};
  SetBlocking(leg.application.get(), true);
  if (redirect != nullptr) {
    RETURN_IF_ERROR(redirect->AddAgent(leg.agent.get()));
    RETURN_IF_ERROR(redirect->AddApplication(leg.application.get()));
  }
  return leg;
}

}  // namespace tombolo::bench
