// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/status.h"
#include "base/asio.h"
#include "net/poller.h"
#include "tls/record_stream.h"

// Parts of the self-test: bulk through pipes. Internal to tls.
namespace tombolo::tls {

// Moves some hundred KiB from an application's socket into `kernel`, and compares what
// arrives at its peer `user`.
Awaitable<absl::Status> TrySpliceSend(net::Poller& poller, RecordStream& kernel,
                                      RecordStream& user);
// The same from `user` through `kernel` to an application's socket.
Awaitable<absl::Status> TrySpliceReceive(net::Poller& poller, RecordStream& kernel,
                                         RecordStream& user);

}  // namespace tombolo::tls
