// SPDX-License-Identifier: Apache-2.0
#include "admin/metrics.h"

#include <atomic>
#include <cstdint>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "admin/process_metrics.h"

namespace tombolo::admin {
namespace {

using testing::HasSubstr;
using testing::Not;

Sample Dialed(const char* result, double value) {
  return {.name = "tombolo_dials_total",
          .help = "Dials.",
          .type = MetricType::kCounter,
          .labels = {{"result", result}},
          .value = value};
}

TEST(MetricsTest, SamplesOfOneFamilyStandTogetherWhoeverGaveThem) {
  Metrics metrics;
  metrics.Add([] { return std::vector<Sample>{Dialed("ok", 3)}; });
  metrics.Add(
      [] { return std::vector<Sample>{{.name = "tombolo_a", .help = "First.", .value = 0.5}}; });
  metrics.Add([] { return std::vector<Sample>{Dialed("denied", 1)}; });
  EXPECT_EQ(metrics.Text(),
            "# HELP tombolo_a First.\n"
            "# TYPE tombolo_a gauge\n"
            "tombolo_a 0.5\n"
            "# HELP tombolo_dials_total Dials.\n"
            "# TYPE tombolo_dials_total counter\n"
            "tombolo_dials_total{result=\"ok\"} 3\n"
            "tombolo_dials_total{result=\"denied\"} 1\n");
}

// Buckets of the format count what those before them count, too.
TEST(MetricsTest, Histograms) {
  Metrics metrics;
  Sample sample{.name = "tombolo_h",
                .help = "H.",
                .type = MetricType::kHistogram,
                .labels = {{"a", "b"}},
                .histogram = {.bounds = {0.5, 1}, .counts = {2, 0, 3}, .sum = 7.25}};
  metrics.Add([&] { return std::vector<Sample>{sample}; });
  EXPECT_EQ(metrics.Text(),
            "# HELP tombolo_h H.\n"
            "# TYPE tombolo_h histogram\n"
            "tombolo_h_count{a=\"b\"} 5\n"
            "tombolo_h_sum{a=\"b\"} 7.25\n"
            "tombolo_h_bucket{a=\"b\",le=\"0.5\"} 2\n"
            "tombolo_h_bucket{a=\"b\",le=\"1\"} 2\n"
            "tombolo_h_bucket{a=\"b\",le=\"+Inf\"} 5\n");
  sample.histogram.counts.pop_back();
  EXPECT_THAT(metrics.Text(), HasSubstr("tombolo_metrics_invalid 1"));
}

TEST(MetricsTest, ReadsTheCountersAtEveryScrape) {
  std::atomic<std::uint64_t> counter{0};
  Metrics metrics;
  metrics.Add([&] {
    return std::vector<Sample>{
        {.name = "c_total",
         .help = "C.",
         .type = MetricType::kCounter,
         .value = static_cast<double>(counter.load(std::memory_order_relaxed))}};
  });
  counter = (1ULL << 40) + 1;
  EXPECT_THAT(metrics.Text(), HasSubstr("\nc_total 1099511627777\n"));
  ++counter;
  EXPECT_THAT(metrics.Text(), HasSubstr("\nc_total 1099511627778\n"));
}

TEST(MetricsTest, EscapesLabelValues) {
  Metrics metrics;
  metrics.Add([] { return std::vector<Sample>{Dialed("a\"b\\c\nd", 1)}; });
  EXPECT_THAT(metrics.Text(), HasSubstr("{result=\"a\\\"b\\\\c\\nd\"} 1\n"));
}

TEST(MetricsTest, LeavesOutAndCountsWhatTheFormatDoesNotAllow) {
  Metrics metrics;
  metrics.Add([] {
    return std::vector<Sample>{{.name = "bad name", .help = "B.", .value = 1},
                               {.name = "good", .help = "G.", .value = 1},
                               {.name = "good", .help = "G.", .type = MetricType::kCounter}};
  });
  const std::string text = metrics.Text();
  EXPECT_THAT(text, Not(HasSubstr("bad name")));
  EXPECT_THAT(text, HasSubstr("\ngood 1\n"));
  EXPECT_THAT(text, HasSubstr("\ntombolo_metrics_invalid 2\n"));
}

double ValueOf(const std::vector<Sample>& samples, const std::string& name) {
  for (const Sample& sample : samples) {
    if (sample.name == name) return sample.value;
  }
  ADD_FAILURE() << "no " << name;
  return 0;
}

TEST(ProcessMetricsTest, DescribeThisProcess) {
  const std::vector<Sample> samples = ProcessMetrics();
  EXPECT_EQ(ValueOf(samples, "tombolo_build_info"), 1);
  EXPECT_GE(ValueOf(samples, "process_cpu_seconds_total"), 0);
  EXPECT_GE(ValueOf(samples, "process_open_fds"), 3);
  EXPECT_GT(ValueOf(samples, "process_max_fds"), ValueOf(samples, "process_open_fds"));
  EXPECT_GT(ValueOf(samples, "process_resident_memory_bytes"), 1 << 20);
  EXPECT_GT(ValueOf(samples, "process_virtual_memory_bytes"),
            ValueOf(samples, "process_resident_memory_bytes"));
  const auto now = static_cast<double>(time(nullptr));
  EXPECT_NEAR(ValueOf(samples, "process_start_time_seconds"), now, 120);
}

}  // namespace
}  // namespace tombolo::admin
