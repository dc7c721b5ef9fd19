// SPDX-License-Identifier: Apache-2.0
#include "directory/publisher.h"

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "directory/subscriber.h"
#include "unit/etcd/etcd_case.h"
#include "unit/source/shared_mesh.h"

namespace tombolo::directory {
namespace {

using source::GatewayRecord;
using source::Publication;

constexpr char kPublisherKey[] = "clusters/west/publisher";

GatewayRecord Gateway(const std::string& address) {
  return {*net::SocketAddress::Parse(address), "a"};
}

class PublisherTest : public etcd::EtcdCase {
 protected:
  etcd::Client::Options ToEtcd() const {
    etcd::Client::Options options = To(Shared().endpoints());
    options.known_key = prefix_;
    return options;
  }
  void SetUp() override {
    etcd::EtcdCase::SetUp();
    if (IsSkipped()) return;
    client_ = std::make_unique<etcd::Client>(ToEtcd());
  }

  std::unique_ptr<Publisher> Start(const std::string& gateway, const std::string& address) {
    auto publisher =
        std::make_unique<Publisher>(Publisher::Options{.client = ToEtcd(),
                                                       .prefix = prefix_,
                                                       .cluster = "west",
                                                       .gateway = gateway,
                                                       .ttl = std::chrono::seconds(3)});
    publisher->SetGateway(Gateway(address));
    return publisher;
  }
  std::string At(const std::string& key) { return Get(*client_, prefix_ + key); }
  void Say(const std::string& key, const std::string& value) {
    Put(*client_, prefix_ + key, value);
  }

  std::unique_ptr<etcd::Client> client_;
};

TEST_F(PublisherTest, AGatewayIsThereForAsLongAsItLives) {
  auto publisher = Start("g1", "203.0.113.10:15443");
  ASSERT_TRUE(Eventually([&] { return publisher->view().publisher; })) << publisher->view().error;
  EXPECT_TRUE(publisher->view().announced);
  EXPECT_EQ(At("clusters/west/gateways/g1"), R"({"address":"203.0.113.10:15443","zone":"a"})");
  EXPECT_EQ(At(kPublisherKey), R"({"gateway":"g1"})");
  publisher->SetGateway(Gateway("203.0.113.11:15443"));
  EXPECT_TRUE(Eventually([&] {
    return At("clusters/west/gateways/g1") == R"({"address":"203.0.113.11:15443","zone":"a"})";
  }));
  publisher->SetGateway(std::nullopt);
  EXPECT_TRUE(Eventually([&] { return At("clusters/west/gateways/g1") == "(none)"; }));
  publisher->SetGateway(Gateway("203.0.113.11:15443"));
  EXPECT_TRUE(Eventually([&] { return At("clusters/west/gateways/g1") != "(none)"; }));
  publisher.reset();
  EXPECT_EQ(At("clusters/west/gateways/g1"), "(none)");
  EXPECT_EQ(At(kPublisherKey), "(none)");
}

// As when a cluster is removed and joins again, while its gateways run.
TEST_F(PublisherTest, WhatSomebodyDeletedIsPutAgain) {
  auto publisher = Start("g1", "203.0.113.10:15443");
  ASSERT_TRUE(Eventually([&] { return publisher->view().publisher; })) << publisher->view().error;
  Delete(*client_, prefix_ + "clusters/west/gateways/g1");
  Delete(*client_, prefix_ + kPublisherKey);
  EXPECT_TRUE(Eventually([&] { return At("clusters/west/gateways/g1") != "(none)"; }));
  EXPECT_TRUE(Eventually([&] { return At(kPublisherKey) != "(none)"; }));
  EXPECT_TRUE(Eventually([&] { return publisher->view().publisher; }));
  publisher.reset();
  EXPECT_EQ(At("clusters/west/gateways/g1"), "(none)") << "with its lease";
}

TEST_F(PublisherTest, OneWritesAndAnotherGoesOn) {
  auto first = Start("g1", "203.0.113.10:15443");
  ASSERT_TRUE(Eventually([&] { return first->view().publisher; }));
  auto second = Start("g2", "203.0.113.11:15443");
  ASSERT_TRUE(Eventually([&] { return second->view().announced; }));
  Publication of_second;
  of_second.puts["clusters/west/cluster"] = R"({"region":"second"})";
  of_second.problems = {"something"};
  second->SetPublication(of_second);
  Publication of_first;
  of_first.puts["clusters/west/cluster"] = R"({"region":"first"})";
  for (int i = 0; i < 200; ++i) {
    of_first.puts[absl::StrCat("clusters/west/services/shop/s", i)] = R"({"ports":[]})";
  }
  first->SetPublication(of_first);
  ASSERT_TRUE(Eventually([&] { return At("clusters/west/services/shop/s99") != "(none)"; }));
  ASSERT_TRUE(Eventually([&] { return At("clusters/west/cluster") == R"({"region":"first"})"; }));
  EXPECT_FALSE(second->view().publisher);
  EXPECT_THAT(second->view().problems, ::testing::ElementsAre("something"));
  first.reset();
  EXPECT_TRUE(Eventually([&] { return At("clusters/west/cluster") == R"({"region":"second"})"; }));
  EXPECT_TRUE(Eventually([&] { return second->view().publisher; }));
  // What the cluster serves outlives a gateway.
  EXPECT_EQ(At("clusters/west/services/shop/s0"), R"({"ports":[]})");
}

TEST_F(PublisherTest, OneThatIsNoLongerThePublisherWritesNothing) {
  auto publisher = Start("g1", "203.0.113.10:15443");
  ASSERT_TRUE(Eventually([&] { return publisher->view().publisher; }));
  Say(kPublisherKey, R"({"gateway":"g2"})");  // as if its lease had ended, and g2 come
  Publication late;
  late.puts["clusters/west/cluster"] = R"({"region":"late"})";
  publisher->SetPublication(late);
  EXPECT_TRUE(Eventually([&] { return !publisher->view().publisher; }));
  EXPECT_EQ(At("clusters/west/cluster"), "(none)");
  // Until g2 is gone: what was wanted last is written then.
  Delete(*client_, prefix_ + kPublisherKey);
  EXPECT_TRUE(Eventually([&] { return At("clusters/west/cluster") == R"({"region":"late"})"; }));
}

// A cluster's publisher and another one's subscriber, with a real etcd between them.
TEST_F(PublisherTest, WhatOneClusterExportsAnotherOneCanUse) {
  Say("admin/clusters/east", R"({"gateways":["192.0.2.0/24"]})");
  Say("admin/clusters/west", R"({"gateways":["203.0.113.0/24"]})");
  Say("admin/namespaces/shop", R"({"clusters":["west"]})");
  const auto options = [&](const std::string& cluster, bool publish) {
    Subscriber::Options made{.feed = {.cluster = cluster, .publish = publish},
                             .follower = {.client = ToEtcd(), .prefix = prefix_}};
    return made;
  };
  // West: its file exports shop/web.
  auto west_file = source::EastFile();
  west_file->clusters[0].name = "west";
  for (mesh::Workload& workload : west_file->workloads) {
    workload.cluster = "west";
    workload.id = *SpiffeId::ForWorkload("td", "west", "shop", workload.service_account);
  }
  mesh::Service& web = west_file->services[0];
  web.name = "web";
  web.exported = true;
  web.ports[0].endpoints[0].cluster = "west";
  web.ports[0].endpoints[0].identity = west_file->workloads[1].id;
  west_file->allow.clear();
  ASSERT_TRUE(west_file->Index().ok());
  auto publisher = Start("g1", "203.0.113.10:15443");
  std::mutex mutex;
  Subscriber west(options("west", true));
  ASSERT_TRUE(west.Begin(west_file).ok());
  west.Run([&](Subscriber::Built built) {
    const std::lock_guard lock(mutex);
    if (publisher != nullptr) publisher->SetPublication(built.publication);
  });

  // East: its file has a rule for it.
  auto east_file = source::EastFile();
  ASSERT_TRUE(east_file->Index().ok());
  std::shared_ptr<mesh::Snapshot> seen;
  Subscriber east(options("east", false));
  ASSERT_TRUE(east.Begin(east_file).ok());
  east.Run([&](Subscriber::Built built) {
    const std::lock_guard lock(mutex);
    seen = built.snapshot;
  });
  const auto can_use = [&] {
    const std::lock_guard lock(mutex);
    const mesh::Service* web = seen == nullptr ? nullptr : seen->FindService("shop/web");
    return web != nullptr && web->ports.at(0).endpoints.at(0).ready;
  };
  ASSERT_TRUE(Eventually(can_use)) << east.view().status << publisher->view().error;
  EXPECT_TRUE(Eventually([&] { return east.view().status.ok(); })) << east.view().status;
  EXPECT_EQ(
      At("clusters/west/services/shop/web"),
      R"({"ports":[{"port":80,"backends":[{"identity":)"
      R"("spiffe://td/cluster/west/ns/shop/sa/local","endpoints":1,"ready":1,"weight":1}]}]})");
  const auto replace = [&](std::unique_ptr<Publisher> fresh) {
    const std::lock_guard lock(mutex);
    std::swap(publisher, fresh);
    return fresh;
  };
  replace(nullptr).reset();  // and with it west's only gateway
  EXPECT_TRUE(Eventually([&] { return !can_use(); }));
  replace(Start("g1", "203.0.113.10:15443"));
  EXPECT_TRUE(Eventually(can_use));
}

// West writes more than followers keep of everybody, before and after east begins to follow.
TEST_F(PublisherTest, OneClusterCannotKeepOthersFromBeingHeard) {
  const std::string large(1'400'000, 'x');
  const auto flood = [&](int from) {
    for (int i = from; i < from + 8; ++i) {
      Say(absl::StrCat("clusters/west/services/shop/s", i), large);
    }
  };
  const auto has = [&](const Subscriber::Built& built, const char* cluster) {
    const mesh::Cluster* found = built.snapshot->FindCluster(cluster);
    return found != nullptr && !found->gateways.empty();
  };
  Say("admin/clusters/south", R"({"gateways":["198.51.100.0/24"]})");
  flood(0);
  Subscriber::Options options{.feed = {.cluster = "east"},
                              .follower = {.client = ToEtcd(), .prefix = prefix_}};
  options.follower.max_bytes = 8'000'000;
  std::mutex mutex;
  bool south = false, refused = false;
  const auto file = source::EastFile();
  ASSERT_TRUE(file->Index().ok());
  Subscriber east(options);
  ASSERT_TRUE(east.Begin(file).ok());
  east.Run([&](Subscriber::Built built) {
    const std::lock_guard lock(mutex);
    south = has(built, "south");
    refused = built.refusals.groups().contains({"west", source::RefusalReason::kMalformed});
  });
  const auto sees = [&](bool wanted) {
    const std::lock_guard lock(mutex);
    return south == wanted && refused;
  };
  EXPECT_TRUE(Eventually([&] { return sees(false); })) << east.view().status;
  flood(8);
  Say("clusters/south/gateways/g1", R"({"address":"198.51.100.1:15443"})");
  EXPECT_TRUE(Eventually([&] { return sees(true); })) << east.view().status;
  EXPECT_TRUE(Eventually([&] { return east.view().status.ok(); })) << east.view().status;
}

// However much others write: of the own cluster what comes last are its VIPs.
TEST_F(PublisherTest, NothingOfTheOwnClusterIsLeftOutForOthers) {
  for (const auto& [key, value] : source::WestKeys()) Say(key, value);
  const std::string large(60'000, 'x');
  for (int i = 0; i < 15; ++i) Say(absl::StrCat("clusters/east/services/shop/s", i), large);
  for (int i = 0; i < 30; ++i) Say(absl::StrCat("clusters/south/services/shop/s", i), large);
  Subscriber::Options options{.feed = {.cluster = "east"},
                              .follower = {.client = ToEtcd(), .prefix = prefix_}};
  options.follower.max_bytes = 2'000'000;
  const auto file = source::EastFile();
  ASSERT_TRUE(file->Index().ok());
  std::mutex mutex;
  mesh::SnapshotPtr seen;
  Subscriber east(options);
  ASSERT_TRUE(east.Begin(file).ok());
  east.Run([&](Subscriber::Built built) {
    const std::lock_guard lock(mutex);
    seen = built.snapshot;
  });
  EXPECT_TRUE(Eventually([&] {
    const std::lock_guard lock(mutex);
    return seen != nullptr && seen->FindService("shop/web") != nullptr;
  })) << east.view().status;
  const std::lock_guard lock(mutex);
  ASSERT_NE(seen, nullptr);
  const mesh::Service* web = seen->FindService("shop/web");
  ASSERT_NE(web, nullptr);
  EXPECT_EQ(web->vips.size(), 1u);
}

// What west has too much of waits for room, and nobody has to write it again.
TEST_F(PublisherTest, WhatWasLeftOutComesInWhenThereIsRoom) {
  constexpr int kMost = source::DirectoryLimits::kGateways;
  Say("admin/clusters/west", R"({"gateways":["203.0.113.0/24"]})");
  const auto gateway = [](int i) { return absl::StrCat("clusters/west/gateways/g", 100 + i); };
  for (int i = 0; i < kMost + 1; ++i) {
    Say(gateway(i), absl::StrCat(R"({"address":"203.0.113.1:)", 1000 + i, R"("})"));
  }
  Subscriber::Options options{.feed = {.cluster = "east"},
                              .follower = {.client = ToEtcd(), .prefix = prefix_}};
  options.feed.ask_gap = std::chrono::milliseconds(1);
  options.follower.probe = std::chrono::milliseconds(100);
  const auto file = source::EastFile();
  ASSERT_TRUE(file->Index().ok());
  std::mutex mutex;
  std::vector<std::string> seen;
  Subscriber east(options);
  ASSERT_TRUE(east.Begin(file).ok());
  east.Run([&](Subscriber::Built built) {
    const mesh::Cluster* west = built.snapshot->FindCluster("west");
    const std::lock_guard lock(mutex);
    seen.clear();
    if (west == nullptr) return;
    for (const mesh::Gateway& one : west->gateways) seen.push_back(one.name);
  });
  const auto sees = [&](const std::string& first, const std::string& last) {
    const std::lock_guard lock(mutex);
    return seen.size() == kMost && seen.front() == first && seen.back() == last;
  };
  EXPECT_TRUE(Eventually([&] { return sees("g100", "g163"); })) << east.view().status;
  Delete(*client_, prefix_ + gateway(0));
  EXPECT_TRUE(Eventually([&] { return sees("g101", "g164"); })) << east.view().status;
}

}  // namespace
}  // namespace tombolo::directory
