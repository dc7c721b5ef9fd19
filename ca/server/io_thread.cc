// SPDX-License-Identifier: Apache-2.0
#include "server/io_thread.h"

#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_future.hpp>

#include "base/errno_status.h"
#include "base/rate_limited_log.h"
#include "base/status_macros.h"
#include "net/socket.h"

namespace tombolo::ca::https {
namespace {

using boost::system::error_code;

constexpr auto kAcceptRetry = std::chrono::milliseconds(100);

}  // namespace

// A connection for as long as it is open.
class IoThread::Open {
 public:
  Open(IoThread& thread, Connection& connection) : thread_(thread), connection_(connection) {
    thread_.open_.insert(&connection_);
  }
  Open(const Open&) = delete;
  Open& operator=(const Open&) = delete;
  ~Open() {
    thread_.open_.erase(&connection_);
    if (thread_.open_.empty()) thread_.all_closed_.cancel();
  }

 private:
  IoThread& thread_;
  Connection& connection_;
};

IoThread::IoThread(std::shared_ptr<ServerState> state) : state_(std::move(state)) {}

absl::StatusOr<std::unique_ptr<IoThread>> IoThread::Start(std::shared_ptr<ServerState> state,
                                                          std::vector<Fd> listeners) {
  std::unique_ptr<IoThread> thread(new IoThread(std::move(state)));
  for (Fd& listener : listeners) RETURN_IF_ERROR(thread->Watch(std::move(listener)));
  for (Tcp::acceptor& acceptor : thread->acceptors_) {
    thread->tasks_.Spawn(thread->AcceptAll(acceptor));
  }
  thread->thread_ = std::thread([io = thread->io_] { io->run(); });
  return thread;
}

IoThread::~IoThread() {
  if (!thread_.joinable()) return;
  Drain(MonotonicTime::min()).get();
  Join();
}

absl::Status IoThread::Watch(Fd listener) {
  int family = 0;
  socklen_t size = sizeof(family);
  if (getsockopt(listener.get(), SOL_SOCKET, SO_DOMAIN, &family, &size) != 0) {
    return ErrnoStatus(errno, "SO_DOMAIN");
  }
  Tcp::acceptor acceptor(*io_);
  error_code failed;
  acceptor.assign(family == AF_INET ? Tcp::v4() : Tcp::v6(), listener.get(), failed);
  if (failed) return ErrnoStatus(failed.value(), "watch the listening socket");
  (void)listener.Release();
  acceptors_.push_back(std::move(acceptor));
  return absl::OkStatus();
}

void IoThread::Wake() {
  asio::post(*io_, [this] { responder_.Wake(); });
}

std::future<void> IoThread::Drain(MonotonicTime deadline) {
  return asio::co_spawn(*io_, StopAll(deadline), asio::use_future);
}

void IoThread::Join() {
  work_.reset();
  thread_.join();
}

Awaitable<void> IoThread::AcceptAll(Tcp::acceptor& acceptor) {
  asio::steady_timer retry(*io_);
  for (;;) {
    auto [error, socket] = co_await acceptor.async_accept(kUseTuple);
    if (state_->stopping) co_return;
    if (!error) {
      Accept(std::move(socket));
      continue;
    }
    // Descriptors have run out: some will come back.
    log::WriteLimited(log::Level::kWarning, "connections wait to be accepted", "",
                      {{"detail", error.message()}});
    retry.expires_after(kAcceptRetry);
    co_await retry.async_wait(kUseTuple);
  }
}

void IoThread::Accept(Tcp::socket socket) {
  const absl::StatusOr<net::SocketAddress> peer = net::PeerAddress(socket.native_handle());
  if (!peer.ok()) return;  // gone already
  std::string address = peer->ip.ToString();
  std::unique_ptr<Admission::Slot> slot = state_->admission.Admit(peer->ip);
  if (slot == nullptr) {
    log::WriteLimited(log::Level::kWarning, "connection refused", "full",
                      {{"peer", address}, {"reason", "too many connections"}});
    // Nothing of it is left behind, not even in TIME_WAIT.
    return net::ResetOnClose(socket.native_handle());
  }
  net::SetKeepAlive(socket.native_handle());
  tasks_.Spawn(Serve(std::move(socket), std::move(address), std::move(slot)));
}

Awaitable<void> IoThread::Serve(Tcp::socket socket, std::string address,
                                std::unique_ptr<Admission::Slot> slot) {
  Connection connection(state_, responder_, std::move(socket), std::move(address), std::move(slot));
  const Open open(*this, connection);
  co_await connection.Run();
}

// Other threads have descriptors of the same sockets, so that close() alone would leave them in
// this thread's epoll; release() takes them out.
void IoThread::StopAccepting() {
  for (Tcp::acceptor& acceptor : acceptors_) {
    error_code ignored;
    Fd(acceptor.release(ignored)).Close();
  }
}

Awaitable<void> IoThread::StopAll(MonotonicTime deadline) {
  StopAccepting();
  responder_.Wake();
  for (Connection* connection : open_) connection->EndIfIdle();
  while (!open_.empty() && std::chrono::steady_clock::now() < deadline) {
    all_closed_.expires_at(deadline);
    co_await all_closed_.async_wait(kUseTuple);
  }
  for (Connection* connection : open_) connection->Close();
  co_await tasks_.CancelAndJoin();
}

}  // namespace tombolo::ca::https
