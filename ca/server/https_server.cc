// SPDX-License-Identifier: Apache-2.0
#include "server/https_server.h"

#include <fcntl.h>

#include <cerrno>
#include <future>
#include <utility>

#include "base/errno_status.h"
#include "base/status_macros.h"
#include "net/socket.h"

namespace tombolo::ca {
namespace {

constexpr int kBacklog = 1024;

absl::StatusOr<std::vector<Fd>> Duplicate(const std::vector<Fd>& listeners) {
  std::vector<Fd> copies;
  for (const Fd& listener : listeners) {
    Fd copy(fcntl(listener.get(), F_DUPFD_CLOEXEC, 0));
    if (!copy.valid()) return ErrnoStatus(errno, "duplicate the listening socket");
    copies.push_back(std::move(copy));
  }
  return copies;
}

}  // namespace

absl::StatusOr<std::unique_ptr<HttpsServer>> HttpsServer::Start(
    const Options& options, std::shared_ptr<const tls::HttpsContext> context, Handlers handlers) {
  if (options.listen.empty() || options.threads < 1) {
    return absl::InvalidArgumentError("a server needs an address and a thread");
  }
  std::unique_ptr<HttpsServer> server(new HttpsServer(std::make_shared<https::ServerState>(
      options.limits, std::move(handlers), std::move(context))));
  std::vector<Fd> listeners;
  for (const net::SocketAddress& wanted : options.listen) {
    ASSIGN_OR_RETURN(Fd listener, net::Listen(wanted, kBacklog));
    ASSIGN_OR_RETURN(const net::SocketAddress address, net::LocalAddress(listener.get()));
    server->addresses_.push_back(address);
    listeners.push_back(std::move(listener));
  }
  for (int i = 0; i < options.threads; ++i) {
    ASSIGN_OR_RETURN(std::vector<Fd> own, Duplicate(listeners));
    ASSIGN_OR_RETURN(auto thread, https::IoThread::Start(server->state_, std::move(own)));
    server->threads_.push_back(std::move(thread));
  }
  return server;
}

HttpsServer::~HttpsServer() {
  if (!threads_.empty()) Stop(Duration::zero());
}

void HttpsServer::SetContext(std::shared_ptr<const tls::HttpsContext> context) {
  state_->SetContext(std::move(context));
}

void HttpsServer::Changed() {
  for (const auto& thread : threads_) thread->Wake();
}

void HttpsServer::Stop(Duration patience) {
  state_->stopping = true;
  const MonotonicTime deadline = After(patience);
  std::vector<std::future<void>> drained;
  for (const auto& thread : threads_) drained.push_back(thread->Drain(deadline));
  for (std::future<void>& thread : drained) thread.get();
  for (const auto& thread : threads_) thread->Join();
  threads_.clear();
}

}  // namespace tombolo::ca
