// SPDX-License-Identifier: Apache-2.0
#include "serve/front_metrics.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tls/handshake_failure.h"

namespace tombolo::ca {
namespace {

using admin::MetricType;
using admin::Sample;
using Labels = std::vector<std::pair<std::string, std::string>>;

class Samples {
 public:
  void Counter(std::string name, std::string help, double value, Labels labels = {}) {
    Add(MetricType::kCounter, std::move(name), std::move(help), value, std::move(labels));
  }
  void Gauge(std::string name, std::string help, double value) {
    Add(MetricType::kGauge, std::move(name), std::move(help), value, {});
  }
  std::vector<Sample> Take() { return std::move(samples_); }

 private:
  void Add(MetricType type, std::string name, std::string help, double value, Labels labels) {
    samples_.push_back({.name = std::move(name),
                        .help = std::move(help),
                        .type = type,
                        .labels = std::move(labels),
                        .value = value});
  }
  std::vector<Sample> samples_;
};

double Value(const ServerCounters::Count& count) { return static_cast<double>(count.load()); }

// What never happened is left out: most pairs cannot.
void AddRequests(const ServerCounters& counters, Samples& samples) {
  for (std::size_t target = 0; target < ServerCounters::kTargets; ++target) {
    for (std::size_t i = 0; i < ServerCounters::kStatuses.size(); ++i) {
      const double value = Value(counters.requests[target][i]);
      if (value == 0) continue;
      samples.Counter("tombolo_ca_requests_total", "Requests answered, by what for and how.", value,
                      {{"resource", std::string(ServerCounters::TargetName(target))},
                       {"status", absl::StrCat(ServerCounters::kStatuses[i])}});
    }
  }
}

void AddConnections(const ServerCounters& counters, Samples& samples) {
  samples.Counter("tombolo_ca_connections_total", "Connections taken.", Value(counters.accepted));
  const auto refused = [&](const char* why, const ServerCounters::Count& count) {
    samples.Counter("tombolo_ca_connections_refused_total",
                    "Connections reset because too many were open, by whose.", Value(count),
                    {{"reason", why}});
  };
  refused("full", counters.refused_full);
  refused("address", counters.refused_address);
  refused("identity", counters.refused_identity);
  refused("no_identity", counters.refused_nameless);
  samples.Counter("tombolo_ca_handshakes_total", "TLS handshakes done.",
                  Value(counters.handshakes));
  for (std::size_t i = 0; i < ServerCounters::kFailures; ++i) {
    samples.Counter("tombolo_ca_handshake_failures_total", "TLS handshakes failed, by reason.",
                    Value(counters.handshakes_failed[i]),
                    {{"reason", std::string(tls::Name(static_cast<tls::HandshakeFailure>(i)))}});
  }
  samples.Gauge("tombolo_ca_connections", "Connections open.",
                static_cast<double>(counters.connections.load()));
  samples.Gauge("tombolo_ca_requests_held", "Requests that wait for the next trust bundle.",
                static_cast<double>(counters.held.load()));
}

void AddTimes(const ServerCounters::Times& times, Samples& samples) {
  constexpr char kHelp[] = "How long certificates took, from the request's last byte.";
  double total = 0;
  for (std::size_t i = 0; i < times.buckets.size(); ++i) {
    total += Value(times.buckets[i]);
    const bool last = i == ServerCounters::Times::kBounds.size();
    samples.Counter("tombolo_ca_enrolment_seconds_bucket", kHelp, total,
                    {{"le", last ? "+Inf" : absl::StrCat(ServerCounters::Times::kBounds[i])}});
  }
  samples.Counter("tombolo_ca_enrolment_seconds_count", kHelp, total);
  samples.Counter("tombolo_ca_enrolment_seconds_sum", kHelp, Value(times.microseconds) / 1e6);
}

}  // namespace

std::vector<Sample> FrontSamples(const ServerCounters& counters) {
  Samples samples;
  AddRequests(counters, samples);
  AddConnections(counters, samples);
  AddTimes(counters.enrolment_time, samples);
  return samples.Take();
}

}  // namespace tombolo::ca
