// SPDX-License-Identifier: Apache-2.0
#include "agent/service_counters.h"

#include <algorithm>
#include <chrono>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "unit/mesh/small_mesh.h"

namespace tombolo::agent {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using ::testing::ElementsAre;
using tunnel::Role;

constexpr ServicePair kPair{Role::kDialer, "east", "west", "shop/web"};

// "name role from to service [more]=value"
std::vector<std::string> Lines(const ServiceCounterTable& table) {
  std::vector<std::string> lines;
  for (const admin::Sample& sample : table.Samples()) {
    std::string line = sample.name;
    for (const auto& [label, value] : sample.labels) absl::StrAppend(&line, " ", value);
    if (sample.type == admin::MetricType::kHistogram) {
      std::uint64_t count = 0;
      for (const std::uint64_t some : sample.histogram.counts) count += some;
      lines.push_back(absl::StrCat(line, "=", count));
    } else {
      lines.push_back(absl::StrCat(line, "=", sample.value));
    }
  }
  return lines;
}

TEST(ServiceCountersTest, APairIsOneWhoeverFindsIt) {
  ServiceCounterTable table;
  KnownServiceCounters here(table), there(table);
  const ServiceCountersPtr found = here.Of(kPair);
  EXPECT_EQ(there.Of(kPair), found);
  EXPECT_EQ(here.Of(kPair), found);
  EXPECT_NE(here.Of({Role::kAcceptor, "east", "west", "shop/web"}), found);
  EXPECT_NE(here.Of({Role::kDialer, "east", "south", "shop/web"}), found);
  EXPECT_NE(here.Of({Role::kDialer, "west", "west", "shop/web"}), found);
  EXPECT_NE(here.Of({Role::kDialer, "east", "west", "shop/api"}), found);
}

TEST(ServiceCountersTest, Samples) {
  ServiceCounterTable table;
  ServiceCounters& counters = *table.Find(kPair);
  Add(counters.opened, 3);
  Add(counters.reset);
  counters.refused.Add(Refusal::kUnavailable);
  Add(counters.attempts_failed, 2);
  Add(counters.bytes_to_service, 100);
  Add(counters.bytes_from_service, 200);
  counters.connect.Add(milliseconds(3));
  EXPECT_THAT(
      Lines(table),
      ElementsAre(
          "tombolo_service_connections_total dialer east west shop/web=3",
          "tombolo_service_connections_failed_total dialer east west shop/web unavailable=1",
          "tombolo_service_connections_failed_total dialer east west shop/web reset=1",
          "tombolo_service_attempts_failed_total dialer east west shop/web=2",
          "tombolo_service_bytes_total dialer east west shop/web to_service=100",
          "tombolo_service_bytes_total dialer east west shop/web from_service=200",
          "tombolo_service_connect_seconds dialer east west shop/web=1"));
}

TEST(ServiceCountersTest, DurationsFallIntoBuckets) {
  DurationCounts counts;
  counts.Add(microseconds(900));
  counts.Add(milliseconds(1));  // up to, and with, the bound
  counts.Add(microseconds(1001));
  counts.Add(std::chrono::seconds(60));
  counts.Add(-milliseconds(1));
  const admin::Histogram histogram = counts.Read();
  ASSERT_EQ(histogram.counts.size(), histogram.bounds.size() + 1);
  EXPECT_EQ(histogram.counts[0], 3u);
  EXPECT_EQ(histogram.counts[1], 1u);
  EXPECT_EQ(histogram.counts.back(), 1u);
  EXPECT_NEAR(histogram.sum, 60.002901, 1e-6);
}

TEST(ServiceCountersTest, WhatLeavesTheDirectoryIsForgotten) {
  const auto snapshot = mesh::SmallMesh();
  ASSERT_TRUE(snapshot->Index().ok());
  ServiceCounterTable table;
  const ServiceCountersPtr kept = table.Find(kPair);
  const ServiceCountersPtr unreached = table.Find({Role::kDialer, "east", "", "shop/web"});
  const ServiceCountersPtr gone = table.Find({Role::kDialer, "east", "west", "shop/api"});
  const ServiceCountersPtr away = table.Find({Role::kDialer, "east", "north", "shop/web"});
  table.Keep(*snapshot);
  EXPECT_EQ(table.Find(kPair), kept);
  EXPECT_EQ(table.Find({Role::kDialer, "east", "", "shop/web"}), unreached);
  EXPECT_NE(table.Find({Role::kDialer, "east", "west", "shop/api"}), gone);
  EXPECT_NE(table.Find({Role::kDialer, "east", "north", "shop/web"}), away);
}

TEST(ServiceCountersTest, ThereAreNoMoreThanSoMany) {
  ServiceCounterTable table;
  const auto find = [&](std::size_t i) {
    const std::string service = absl::StrCat("shop/", i);
    return table.Find({Role::kDialer, "east", "west", service});
  };
  for (std::size_t i = 0; i < ServiceCounterTable::kMaxPairs; ++i) find(i);
  const ServiceCountersPtr other = find(ServiceCounterTable::kMaxPairs);
  EXPECT_EQ(find(ServiceCounterTable::kMaxPairs + 1), other) << "counted together";
  EXPECT_NE(find(0), other) << "the first ones have their own";
  Add(other->opened, 7);
  const auto lines = Lines(table);
  EXPECT_EQ(std::ranges::count(lines, "tombolo_service_connections_total dialer   =7"), 1);
}

}  // namespace
}  // namespace tombolo::agent
