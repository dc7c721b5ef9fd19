// SPDX-License-Identifier: Apache-2.0
#include "testing/cutting_proxy.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cstdlib>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace tombolo::testing {
namespace {

constexpr int kTick = 20;  // milliseconds until stopping is noticed

sockaddr_in Loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  return address;
}

bool SendAll(const Fd& fd, absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

}  // namespace

CuttingProxy::CuttingProxy(const std::string& endpoint) {
  if (!absl::SimpleAtoi(endpoint.substr(endpoint.rfind(':') + 1), &server_port_)) std::abort();
  accepting_ = std::thread([this] { Accept(); });
}

CuttingProxy::~CuttingProxy() {
  stopping_ = true;
  accepting_.join();
  for (std::thread& relay : relays_) relay.join();
}

std::string CuttingProxy::endpoint() const {
  return absl::StrCat("http://127.0.0.1:", listener_.port());
}

void CuttingProxy::Lose(Loss loss, int count) {
  const std::lock_guard lock(mutex_);
  loss_ = loss;
  left_ = count;
}

CuttingProxy::Loss CuttingProxy::NextLoss() {
  const std::lock_guard lock(mutex_);
  if (left_ == 0) return Loss::kNone;
  --left_;
  return loss_;
}

void CuttingProxy::Accept() {
  while (!stopping_) {
    pollfd entry{.fd = listener_.fd(), .events = POLLIN, .revents = 0};
    if (poll(&entry, 1, kTick) <= 0) continue;
    Fd client = listener_.Accept();
    if (!client.valid()) continue;
    ++connections_;
    relays_.emplace_back([this, fd = client.Release()] { Relay(Fd(fd)); });
  }
}

void CuttingProxy::Relay(Fd client) {
  const Fd server(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in address = Loopback(server_port_);
  const auto* raw = reinterpret_cast<const sockaddr*>(&address);
  if (connect(server.get(), raw, sizeof(address)) != 0) return;
  Loss loss = Loss::kNone;  // of the request that is under way
  std::array<char, 65536> part;
  while (!stopping_) {
    std::array<pollfd, 2> entries = {pollfd{.fd = client.get(), .events = POLLIN, .revents = 0},
                                     pollfd{.fd = server.get(), .events = POLLIN, .revents = 0}};
    if (poll(entries.data(), entries.size(), kTick) <= 0) continue;
    const bool from_client = entries[0].revents != 0;
    const ssize_t got =
        recv(from_client ? client.get() : server.get(), part.data(), part.size(), 0);
    if (got <= 0) return;
    const absl::string_view bytes(part.data(), static_cast<std::size_t>(got));
    if (from_client && absl::StartsWith(bytes, "POST ")) {
      loss = absl::StartsWith(bytes, "POST /v3/kv/txn") ? NextLoss() : Loss::kNone;
    }
    if (loss == (from_client ? Loss::kRequest : Loss::kAnswer)) return;
    if (!from_client && loss == Loss::kSilence) continue;
    if (!SendAll(from_client ? server : client, bytes)) return;
  }
}

}  // namespace tombolo::testing
