// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include <boost/asio/io_context.hpp>

#include "absl/status/statusor.h"
#include "base/asio.h"
#include "server/handlers.h"
#include "server/server_state.h"

namespace tombolo::ca::https {

// What handlers.enrol answers, on `io`'s one thread. ResourceExhausted when too many are under way:
// one is until the handler has answered, also when nobody waits any longer. DeadlineExceeded when
// that takes too long; what the handler says then is dropped. An answer that the handler forgets
// (its function is destroyed) is Unavailable.
Awaitable<absl::StatusOr<std::string>> Enrol(std::shared_ptr<asio::io_context> io,
                                             std::shared_ptr<ServerState> state,
                                             EnrolRequest request);

}  // namespace tombolo::ca::https
