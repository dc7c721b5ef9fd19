// SPDX-License-Identifier: Apache-2.0
#include "admin/metrics.h"

#include <algorithm>
#include <map>

#include <prometheus/check_names.h>
#include <prometheus/client_metric.h>
#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>
#include <prometheus/metric_type.h>
#include <prometheus/text_serializer.h>

namespace tombolo::admin {
namespace {

bool IsValid(const Sample& sample) {
  const auto valid_label = [](const auto& label) {
    return prometheus::CheckLabelName(label.first);
  };
  return prometheus::CheckMetricName(sample.name) &&
         std::all_of(sample.labels.begin(), sample.labels.end(), valid_label);
}

prometheus::ClientMetric ToClientMetric(const Sample& sample) {
  prometheus::ClientMetric metric;
  for (const auto& [name, value] : sample.labels) metric.label.push_back({name, value});
  if (sample.type == MetricType::kCounter) {
    metric.counter.value = sample.value;
  } else {
    metric.gauge.value = sample.value;
  }
  return metric;
}

prometheus::MetricType ToPrometheus(MetricType type) {
  return type == MetricType::kCounter ? prometheus::MetricType::Counter
                                      : prometheus::MetricType::Gauge;
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
