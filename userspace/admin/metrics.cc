// SPDX-License-Identifier: Apache-2.0
#include "admin/metrics.h"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <map>

#include <prometheus/check_names.h>
#include <prometheus/client_metric.h>
#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>
#include <prometheus/metric_type.h>
#include <prometheus/text_serializer.h>

namespace tombolo::admin {
namespace {

bool IsValid(const Histogram& histogram) {
  return histogram.counts.size() == histogram.bounds.size() + 1;
}

bool IsValid(const Sample& sample) {
  const auto valid_label = [](const auto& label) {
    return prometheus::CheckLabelName(label.first);
  };
  if (sample.type == MetricType::kHistogram && !IsValid(sample.histogram)) return false;
  return prometheus::CheckMetricName(sample.name) &&
         std::all_of(sample.labels.begin(), sample.labels.end(), valid_label);
}

// Its buckets are cumulative.
prometheus::ClientMetric::Histogram ToPrometheus(const Histogram& histogram) {
  prometheus::ClientMetric::Histogram out;
  for (std::size_t i = 0; i < histogram.counts.size(); ++i) {
    out.sample_count += histogram.counts[i];
    const double bound =
        i < histogram.bounds.size() ? histogram.bounds[i] : std::numeric_limits<double>::infinity();
    out.bucket.push_back({.cumulative_count = out.sample_count, .upper_bound = bound});
  }
  out.sample_sum = histogram.sum;
  return out;
}

prometheus::ClientMetric ToClientMetric(const Sample& sample) {
  prometheus::ClientMetric metric;
  for (const auto& [name, value] : sample.labels) metric.label.push_back({name, value});
  switch (sample.type) {
    case MetricType::kCounter:
      metric.counter.value = sample.value;
      break;
    case MetricType::kGauge:
      metric.gauge.value = sample.value;
      break;
    case MetricType::kHistogram:
      metric.histogram = ToPrometheus(sample.histogram);
      break;
  }
  return metric;
}

prometheus::MetricType ToPrometheus(MetricType type) {
  switch (type) {
    case MetricType::kCounter:
      return prometheus::MetricType::Counter;
    case MetricType::kHistogram:
      return prometheus::MetricType::Histogram;
    case MetricType::kGauge:
      break;
  }
  return prometheus::MetricType::Gauge;
}

// All sources as one Collectable. The format wants each family once and in one
// piece, whoever contributes to it; the first sample gives its help and type.
class Collector : public prometheus::Collectable {
 public:
  explicit Collector(const std::vector<MetricsSource>& sources) : sources_(sources) {}

  std::vector<prometheus::MetricFamily> Collect() const override {
    std::map<std::string, prometheus::MetricFamily> by_name;
    int invalid = 0;
    for (const MetricsSource& source : sources_) {
      for (Sample& sample : source()) {
        if (!Append(by_name, sample)) ++invalid;
      }
    }
    if (invalid > 0) {
      const Sample report{.name = "tombolo_metrics_invalid",
                          .help = "Samples left out because the agent misnamed or mistyped them.",
                          .value = static_cast<double>(invalid)};
      Append(by_name, report);
    }
    std::vector<prometheus::MetricFamily> families;
    families.reserve(by_name.size());
    for (auto& [name, family] : by_name) families.push_back(std::move(family));
    return families;
  }

 private:
  static bool Append(std::map<std::string, prometheus::MetricFamily>& by_name,
                     const Sample& sample) {
    if (!IsValid(sample)) return false;
    auto [found, is_new] = by_name.try_emplace(sample.name);
    prometheus::MetricFamily& family = found->second;
    if (is_new) {
      family = {.name = sample.name,
                .help = sample.help,
                .type = ToPrometheus(sample.type),
                .metric = {}};
    }
    if (family.type != ToPrometheus(sample.type)) return false;
    family.metric.push_back(ToClientMetric(sample));
    return true;
  }

  const std::vector<MetricsSource>& sources_;
};

}  // namespace

std::string Metrics::Text() const {
  const prometheus::TextSerializer serializer;
  return serializer.Serialize(Collector(sources_).Collect());
}

}  // namespace tombolo::admin
