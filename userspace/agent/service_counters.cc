// SPDX-License-Identifier: Apache-2.0
#include "agent/service_counters.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <utility>

namespace tombolo::agent {
namespace {

using admin::MetricType;
using admin::Sample;
using Labels = std::vector<std::pair<std::string, std::string>>;

double Read(const Counters::Count& count) {
  return static_cast<double>(count.load(std::memory_order_relaxed));
}

// The samples of one pair.
class Pair {
 public:
  Pair(Labels labels, std::vector<Sample>& samples)
      : labels_(std::move(labels)), samples_(samples) {}

  void Add(const char* name, const char* help, double value, Labels more = {}) {
    Labels labels = labels_;
    std::ranges::move(more, std::back_inserter(labels));
    samples_.push_back({.name = name,
                        .help = help,
                        .type = MetricType::kCounter,
                        .labels = std::move(labels),
                        .value = value});
  }

  // A reason that never was has no series.
  void AddFailures(const ServiceCounters& counters) {
    const auto add = [&](absl::string_view reason, const Counters::Count& count) {
      if (count == 0) return;
      Add("tombolo_service_connections_failed_total",
          "Connections of a service that were refused or reset, by reason.", Read(count),
          {{"reason", std::string(reason)}});
    };
    for (std::size_t i = 0; i < counters.refused.counts.size(); ++i) {
      add(Name(static_cast<Refusal>(i)), counters.refused.counts[i]);
    }
    add("reset", counters.reset);
  }

  void AddAll(const ServiceCounters& counters) {
    Add("tombolo_service_connections_total", "Connections of a service that were relayed.",
        Read(counters.opened));
    AddFailures(counters);
    Add("tombolo_service_attempts_failed_total",
        "Attempts to reach a service that are held against where they went, also when another "
        "one succeeded.",
        Read(counters.attempts_failed));
    const char* const bytes = "tombolo_service_bytes_total";
    const char* const help = "Application bytes of a service's finished connections.";
    Add(bytes, help, Read(counters.bytes_to_service), {{"direction", "to_service"}});
    Add(bytes, help, Read(counters.bytes_from_service), {{"direction", "from_service"}});
    samples_.push_back({.name = "tombolo_service_connect_seconds",
                        .help = "Time until a connection of a service was open.",
                        .type = MetricType::kHistogram,
                        .labels = labels_,
                        .histogram = counters.connect.Read()});
  }

 private:
  const Labels labels_;
  std::vector<Sample>& samples_;
};

}  // namespace

void DurationCounts::Add(Duration took) {
  const double seconds = std::chrono::duration<double>(took).count();
  const auto bucket = std::ranges::lower_bound(kBounds, seconds) - kBounds.begin();
  agent::Add(counts_[static_cast<std::size_t>(bucket)]);
  const auto whole = std::chrono::duration_cast<std::chrono::microseconds>(took).count();
  agent::Add(microseconds_, static_cast<std::uint64_t>(std::max<std::int64_t>(0, whole)));
}

admin::Histogram DurationCounts::Read() const {
  admin::Histogram histogram{.bounds = {kBounds.begin(), kBounds.end()}};
  for (const Counters::Count& count : counts_) {
    histogram.counts.push_back(count.load(std::memory_order_relaxed));
  }
  histogram.sum = static_cast<double>(microseconds_.load(std::memory_order_relaxed)) / 1e6;
  return histogram;
}

ServiceCountersPtr ServiceCounterTable::Find(const ServicePair& pair) {
  const std::lock_guard lock(mutex_);
  Key key(pair.role, pair.from, pair.to, pair.service);
  auto found = counters_.find(key);
  if (found == counters_.end()) {
    if (counters_.size() >= kMaxPairs) key = {pair.role, "", "", ""};
    found = counters_.try_emplace(std::move(key)).first;
    if (found->second == nullptr) found->second = std::make_shared<ServiceCounters>();
  }
  return found->second;
}

void ServiceCounterTable::Keep(const mesh::Snapshot& snapshot) {
  const auto gone = [&](const std::string& cluster) {
    return !cluster.empty() && snapshot.FindCluster(cluster) == nullptr;
  };
  const std::lock_guard lock(mutex_);
  std::erase_if(counters_, [&](const auto& entry) {
    const auto& [role, from, to, service] = entry.first;
    return gone(from) || gone(to) || (!service.empty() && snapshot.FindService(service) == nullptr);
  });
}

std::vector<Sample> ServiceCounterTable::Samples() const {
  std::vector<Sample> samples;
  const std::lock_guard lock(mutex_);
  for (const auto& [key, counters] : counters_) {
    const auto& [role, from, to, service] = key;
    Pair({{"role", role == tunnel::Role::kDialer ? "dialer" : "acceptor"},
          {"source_cluster", from},
          {"destination_cluster", to},
          {"service", service}},
         samples)
        .AddAll(*counters);
  }
  return samples;
}

const ServiceCountersPtr& KnownServiceCounters::Of(const ServicePair& pair) {
  const auto found = known_.find(View(pair.role, pair.from, pair.to, pair.service));
  if (found != known_.end()) return found->second;
  // Those that come and go are looked up again.
  if (known_.size() >= ServiceCounterTable::kMaxPairs) known_.clear();
  return known_.try_emplace(Key(pair.role, pair.from, pair.to, pair.service), table_.Find(pair))
      .first->second;
}

}  // namespace tombolo::agent
