// SPDX-License-Identifier: Apache-2.0
#include "agent/carried.h"

#include <utility>

#include "base/rate_limited_log.h"

namespace tombolo::agent {

Carried::Carried(Context& context, ConnectionTable::Entry entry, net::AsyncFd plain,
                 tunnel::Tunnel& tunnel, std::uint64_t early)
    : context_(context), entry_(std::move(entry)), relay_(std::move(plain), tunnel, early) {
  entry_->tunnel = &tunnel;
  entry_->relay = &relay_;
}

void Carried::Start(std::unique_ptr<Carried> self) {
  Carried* const carried = self.release();
  const bool dialed = carried->entry_->role == tunnel::Role::kDialer;
  Add(dialed ? carried->context_.counters.dialed : carried->context_.counters.accepted);
  if (const ServiceCountersPtr& counters = carried->entry_->counters) {
    Add(counters->opened);
    counters->connect.Add(std::chrono::steady_clock::now() - carried->entry_->opened_at);
  }
  carried->relay_.Start([carried](relay::Relay::End end) {
    const std::unique_ptr<Carried> ended(carried);
    ended->Report(end.status);
    ended->OnEnd(std::move(end));
  });
}

void Carried::Report(const absl::Status& status) const {
  Counters& counters = context_.counters;
  Add(counters.bytes_to_tunnel, relay_.counters().to_tunnel);
  Add(counters.bytes_from_tunnel, relay_.counters().from_tunnel);
  const Connection& connection = *entry_;
  const bool dialed = connection.role == tunnel::Role::kDialer;
  if (connection.counters != nullptr) {
    const auto& [to_tunnel, from_tunnel] = relay_.counters();
    Add(connection.counters->bytes_to_service, dialed ? to_tunnel : from_tunnel);
    Add(connection.counters->bytes_from_service, dialed ? from_tunnel : to_tunnel);
    if (!status.ok()) Add(connection.counters->reset);
  }
  if (status.ok()) return;
  Add(dialed ? counters.dialed_failed : counters.accepted_failed);
  log::WriteLimited(log::Level::kInfo,
                    dialed ? "connection reset" : "connection to an endpoint reset",
                    absl::StatusCodeToString(status.code()),
                    {{"id", connection.id},
                     {"source", connection.source.text()},
                     {"service", connection.service},
                     {"endpoint", connection.endpoint},
                     {"reason", status}});
}

}  // namespace tombolo::agent
