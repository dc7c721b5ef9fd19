// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "etcd/follower.h"
#include "etcd_case.h"

namespace tombolo::etcd {

using Contents = std::map<std::string, std::string>;

// What the updates of a follower add up to.
class Sum {
 public:
  void Clear() {
    const std::lock_guard lock(mutex_);
    contents_.clear();
  }
  void Add(const Follower::Update& update) {
    const std::lock_guard lock(mutex_);
    ++updates_;
    for (const auto& [key, value] : update.changes) {
      const auto old = contents_.find(key);
      const bool told =
          value ? old != contents_.end() && old->second == *value : old == contents_.end();
      if (told) ++superfluous_;
      if (value) {
        contents_[key] = *value;
      } else {
        contents_.erase(key);
      }
    }
  }
  Contents contents() const {
    const std::lock_guard lock(mutex_);
    return contents_;
  }
  int updates() const {
    const std::lock_guard lock(mutex_);
    return updates_;
  }
  int superfluous() const {
    const std::lock_guard lock(mutex_);
    return superfluous_;
  }

 private:
  mutable std::mutex mutex_;
  Contents contents_;
  int updates_ = 0;
  int superfluous_ = 0;
};

class FollowerTest : public EtcdCase {
 protected:
  void Start(int members) {
    cluster_ = testing::EtcdCluster::Start({.members = members});
    const absl::Status ready = cluster_->WaitUntilReady();
    ASSERT_TRUE(ready.ok()) << ready;
    writer_ = std::make_unique<Client>(To(cluster_->endpoints()));
  }
  void Follow(Client::Options client, std::size_t max_bytes = 1 << 30) {
    Follower::Options options{.client = std::move(client), .prefix = "/d/"};
    options.max_bytes = max_bytes;
    options.probe = std::chrono::milliseconds(200);
    options.max_delay = std::chrono::milliseconds(500);
    options.bounds = bounds_;
    options.read_again = std::chrono::milliseconds(1);
    options.tell_again = tell_again_;
    follower_ = std::make_unique<Follower>(
        std::move(options), [this](const Follower::Update& update) { sum_.Add(update); },
        Follower::OnState());
  }
  void Follow() {
    Client::Options client = To(cluster_->endpoints());
    client.answer = std::chrono::seconds(1);
    Follow(std::move(client));
  }
  void Set(const std::string& key, const std::string& value) {
    Put(*writer_, "/d/" + key, value);
    expected_[key] = value;
  }
  void Unset(const std::string& key) {
    Delete(*writer_, "/d/" + key);
    expected_.erase(key);
  }
  void ExpectSame() {
    EXPECT_TRUE(Eventually([&] { return sum_.contents() == expected_; }))
        << sum_.contents().size() << " keys, not " << expected_.size() << "; "
        << follower_->state().error;
    EXPECT_EQ(sum_.superfluous(), 0);
  }
  void ExpectInSync() {
    EXPECT_TRUE(Eventually([&] { return follower_->state().in_sync; })) << follower_->state().error;
  }
  void ExpectOutOfSync() {
    EXPECT_TRUE(Eventually([&] { return !follower_->state().in_sync; }));
  }
  Follower::State state() const { return follower_->state(); }

  std::unique_ptr<testing::EtcdCluster> cluster_;
  std::unique_ptr<Client> writer_;
  Bounds bounds_{};
  std::function<std::vector<std::string>()> tell_again_;
  Contents expected_;
  Sum sum_;
  std::unique_ptr<Follower> follower_;
};

}  // namespace tombolo::etcd
