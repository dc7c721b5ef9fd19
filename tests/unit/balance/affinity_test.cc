// SPDX-License-Identifier: Apache-2.0
#include <map>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "unit/balance/balance_case.h"

namespace tombolo::balance {
namespace {

class AffinityTest : public BalanceCase {
 protected:
  AffinityTest() { balancing_.affinity = mesh::LoadBalancing::Affinity::kSource; }

  // By source, the workload of the endpoint that it goes to.
  std::map<int, std::string> Places(int sources = 600) {
    std::map<int, std::string> places;
    for (int i = 0; i < sources; ++i) {
      const std::string client = absl::StrCat("10.1.", i / 250, ".", i % 250);
      const auto choice = balancer_.Pick(Want(client.c_str()), {}, now_);
      places[i] = endpoints()[choice->endpoint].workload;
    }
    return places;
  }
  static int Moved(const std::map<int, std::string>& from, const std::map<int, std::string>& to) {
    int moved = 0;
    for (const auto& [source, place] : from) moved += to.at(source) != place ? 1 : 0;
    return moved;
  }
  static std::vector<mesh::Endpoint> Some(int count, const char* cluster = "east") {
    std::vector<mesh::Endpoint> endpoints;
    for (int i = 0; i < count; ++i) endpoints.push_back(MakeEndpoint(i, cluster));
    return endpoints;
  }
};

TEST_F(AffinityTest, ASourceStaysAndAllShare) {
  Use(Some(6));
  const auto places = Places();
  EXPECT_EQ(Places(), places);
  std::map<std::string, int> counts;
  for (const auto& [source, place] : places) ++counts[place];
  ASSERT_EQ(counts.size(), 6u);
  for (const auto& [place, count] : counts) EXPECT_NEAR(count, 100, 40) << place;
  EXPECT_TRUE(Pick()->why.by_source);
}

TEST_F(AffinityTest, AnotherProcessChoosesTheSame) {
  Use(Some(6));
  const auto places = Places();
  Balancer other(Place{"east", "east-0"}, [] { return 7; });
  other.SetSnapshot(snapshot_, now_);
  for (int i = 0; i < 250; ++i) {
    const auto choice = other.Pick(Want(absl::StrCat("10.1.0.", i).c_str()), {}, now_);
    EXPECT_EQ(endpoints()[choice->endpoint].workload, places.at(i));
  }
}

TEST_F(AffinityTest, OnlySourcesOfWhatIsGoneMove) {
  Use(Some(6));
  const auto before = Places();
  auto fewer = Some(6);
  fewer.erase(fewer.begin() + 2);
  Use(fewer);
  const auto after = Places();
  for (const auto& [source, place] : before) {
    if (place != "east/web-2") {
      EXPECT_EQ(after.at(source), place);
    }
  }
}

TEST_F(AffinityTest, SourcesOfWhatIsEjectedComeBackByATrial) {
  Use(Some(6));
  const auto before = Places();
  Fail(2, 5);
  for (const auto& [source, place] : Places()) {
    EXPECT_NE(place, "east/web-2");
    if (before.at(source) != "east/web-2") {
      EXPECT_EQ(place, before.at(source));
    }
  }
  now_ += seconds(2);
  // Without an attempt that has begun, all its own sources would be the trial, and no others.
  EXPECT_EQ(Moved(before, Places()), 0);
  Balancer::Attempt trial = Begin(2);
  for (const auto& [source, place] : Places()) EXPECT_NE(place, "east/web-2");
  trial.OnConnected(milliseconds(1), now_);
  now_ += kSlowStart;
  EXPECT_EQ(Moved(before, Places()), 0);
}

TEST_F(AffinityTest, ATierOfWhichNothingWorksComesBackByATrial) {
  Use({MakeEndpoint(0, "east"), MakeEndpoint(0, "west")});
  Fail(0, 5);
  EXPECT_EQ(PickOne(), 1);
  now_ += seconds(1);
  const Choice trial = *Pick();
  EXPECT_EQ(trial.endpoint, 0u);
  balancer_.Begin(Want(), trial, now_).OnConnected(milliseconds(1), now_);
  EXPECT_EQ(PickOne(), 0);
}

TEST_F(AffinityTest, AClusterOfWhichNothingWorksComesBackByATrial) {
  balancing_.order = mesh::LoadBalancing::Order::kNone;
  balancing_.cluster_weights = {{"west", 1}};
  Use({MakeEndpoint(0, "east"), MakeEndpoint(0, "west")});
  const auto before = Places();
  Fail(1, 5);
  EXPECT_NE(Moved(before, Places()), 0);
  now_ += seconds(1);
  std::map<std::string, int> counts;
  for (const auto& [source, place] : Places()) ++counts[place];
  EXPECT_GT(counts["west/web-0"], 0);  // any of them may be the trial
  Begin(1).OnConnected(milliseconds(1), now_);
  now_ += kSlowStart;
  EXPECT_EQ(Moved(before, Places()), 0);
}

TEST_F(AffinityTest, OverflowMovesAShareOfTheSourcesAndNoOthers) {
  auto all = Some(10);
  for (mesh::Endpoint& endpoint : Some(4, "west")) all.push_back(endpoint);
  Use(all);
  const auto before = Places();
  for (int i = 0; i < 5; ++i) all[i].ready = false;  // 50 % in use: 5/7 stay
  Use(all);
  const auto after = Places();
  EXPECT_EQ(Places(), after);
  int west = 0;
  for (const auto& [source, place] : after) west += place.substr(0, 4) == "west" ? 1 : 0;
  EXPECT_NEAR(west, 600 * 2 / 7, 50);
}

TEST_F(AffinityTest, AnotherAttemptGoesElsewhere) {
  Use(Some(3));
  std::vector<Tried> tried;
  std::set<std::size_t> seen;
  for (int i = 0; i < 3; ++i) {
    const auto choice = Pick(tried);
    ASSERT_TRUE(choice);
    EXPECT_TRUE(seen.insert(choice->endpoint).second);
    tried.push_back({*choice, Failure::kEndpoint});
  }
  EXPECT_FALSE(Pick(tried));
}

}  // namespace
}  // namespace tombolo::balance
