// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace tombolo::admin {

enum class MetricType { kCounter, kGauge, kHistogram };

// How many values were up to each bound, but not the one before.
struct Histogram {
  std::vector<double> bounds{};         // ascending
  std::vector<std::uint64_t> counts{};  // one more: of what is beyond the last bound
  double sum = 0;                       // of all values
};

// One value of a metric at one moment. Samples of one name share help and type,
// and differ in their labels. Names follow the Prometheus conventions: a
// tombolo_ prefix, base units, counters end in _total.
struct Sample {
  std::string name;
  std::string help;
  MetricType type = MetricType::kGauge;
  std::vector<std::pair<std::string, std::string>> labels = {};
  double value = 0;
  Histogram histogram{};  // of one, in place of the value
};

// Reads counters that live elsewhere, so that modules keep plain atomics and
// know nothing of metrics. Called on the admin thread at every scrape; must not
// block.
using MetricsSource = std::function<std::vector<Sample>()>;

// Everything that /metrics shows. Lives on one thread.
class Metrics {
 public:
  void Add(MetricsSource source) { sources_.push_back(std::move(source)); }

  // The Prometheus text format 0.0.4, families in order of their names. Samples
  // of one family may come from several sources. A sample whose name or labels
  // the format does not allow is left out and counted in
  // tombolo_metrics_invalid.
  std::string Text() const;

 private:
  std::vector<MetricsSource> sources_;
};

}  // namespace tombolo::admin
