// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <future>
#include <list>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

#include "absl/status/statusor.h"
#include "base/asio.h"
#include "base/fd.h"
#include "base/task_group.h"
#include "base/time.h"
#include "server/connection.h"
#include "server/responder.h"
#include "server/server_state.h"

namespace tombolo::ca::https {

// One thread of the server, with every connection that it has accepted. All threads accept from the
// same sockets: nobody else could join those, as they could a SO_REUSEPORT group.
class IoThread {
 public:
  // `listeners` are its own descriptors of sockets that listen. It runs until Stop().
  static absl::StatusOr<std::unique_ptr<IoThread>> Start(std::shared_ptr<ServerState> state,
                                                         std::vector<Fd> listeners);
  // Stops at once if it still runs.
  ~IoThread();
  IoThread(const IoThread&) = delete;
  IoThread& operator=(const IoThread&) = delete;

  // Requests that are held look again. Any thread.
  void Wake();

  // Accepts nothing more, and ends each connection with what it is doing; at `deadline` those that
  // are left. Any thread but this one; the state has begun to stop.
  std::future<void> Drain(MonotonicTime deadline);
  // Ends the thread, once it has been drained.
  void Join();

 private:
  using Tcp = asio::ip::tcp;
  class Open;

  explicit IoThread(std::shared_ptr<ServerState> state);
  absl::Status Watch(Fd listener);
  Awaitable<void> AcceptAll(Tcp::acceptor& acceptor);
  void Accept(Tcp::socket socket);
  Awaitable<void> Serve(Tcp::socket socket, std::string address,
                        std::unique_ptr<Admission::Slot> slot);
  Awaitable<void> StopAll(MonotonicTime deadline);
  void StopAccepting();

  const std::shared_ptr<ServerState> state_;
  // Shared with enrolments that are not answered yet.
  const std::shared_ptr<asio::io_context> io_ = std::make_shared<asio::io_context>(1);
  asio::executor_work_guard<asio::io_context::executor_type> work_{io_->get_executor()};
  Responder responder_{io_, state_};
  std::list<Tcp::acceptor> acceptors_;
  std::set<Connection*> open_;
  asio::steady_timer all_closed_{*io_};  // cancelled when the last connection has ended
  TaskGroup tasks_{io_->get_executor()};
  std::thread thread_;
};

}  // namespace tombolo::ca::https
