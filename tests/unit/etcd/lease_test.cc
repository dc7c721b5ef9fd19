// SPDX-License-Identifier: Apache-2.0
#include "etcd/lease.h"

#include <mutex>

#include "etcd_case.h"

namespace tombolo::etcd {
namespace {

using std::chrono::seconds;
using testing::EtcdCluster;

class KeptLeaseTest : public EtcdCase {
 protected:
  void SetUp() override {
    TOMBOLO_SKIP_UNLESS_OK(EtcdCluster::Ready());
    cluster_ = EtcdCluster::Start({});
    const absl::Status ready = cluster_->WaitUntilReady();
    ASSERT_TRUE(ready.ok()) << ready;
  }
  // Puts a key with each lease that it gets.
  void Keep() {
    writer_ = std::make_unique<Client>(To(cluster_->endpoints()));
    kept_ = std::make_unique<KeptLease>(
        KeptLease::Options{.client = To(cluster_->endpoints()), .ttl = seconds(3)},
        [this](std::int64_t lease) {
          Put(*writer_, "/alive", "v", lease);
          const std::lock_guard lock(mutex_);
          ++held_;
        },
        [this](const absl::Status& why) {
          EXPECT_FALSE(why.ok());
          const std::lock_guard lock(mutex_);
          ++lost_;
        });
  }
  int held() const {
    const std::lock_guard lock(mutex_);
    return held_;
  }
  int lost() const {
    const std::lock_guard lock(mutex_);
    return lost_;
  }

  std::unique_ptr<EtcdCluster> cluster_;
  std::unique_ptr<Client> writer_;
  mutable std::mutex mutex_;
  int held_ = 0, lost_ = 0;
  std::unique_ptr<KeptLease> kept_;
};

TEST_F(KeptLeaseTest, IsKeptAndEndsAtOnce) {
  Keep();
  Client client(To(cluster_->endpoints()));
  // One that lasts longer than a lease that nobody keeps; should this machine stall for so
  // long that one is lost, the next one may do it.
  std::int64_t lease = 0;
  MonotonicTime since = std::chrono::steady_clock::now();
  EXPECT_TRUE(Eventually([&] {
    const std::int64_t held = kept_->held();
    if (held != lease) {
      lease = held;
      since = std::chrono::steady_clock::now();
    }
    return lease != 0 && std::chrono::steady_clock::now() - since > seconds(5);
  }));
  EXPECT_EQ(Get(client, "/alive"), "v");
  kept_.reset();
  EXPECT_EQ(Get(client, "/alive"), "(none)");
}

TEST_F(KeptLeaseTest, ALostOneIsReplaced) {
  Keep();
  ASSERT_TRUE(Eventually([&] { return held() == 1; }));
  Client client(To(cluster_->endpoints()));
  EXPECT_TRUE(client.RevokeLease(kept_->held()).ok());
  EXPECT_TRUE(Eventually([&] { return held() == 2; }));
  EXPECT_EQ(lost(), 1);
  EXPECT_EQ(Get(client, "/alive"), "v");
}

TEST_F(KeptLeaseTest, AnOutageLosesItInTime) {
  Keep();
  ASSERT_TRUE(Eventually([&] { return held() == 1; }));
  const MonotonicTime begin = std::chrono::steady_clock::now();
  cluster_->Pause(0);
  EXPECT_TRUE(Eventually([&] { return lost() == 1; }));
  // The last time that it was kept alive was before the pause; the rest is for a busy machine.
  EXPECT_LT(std::chrono::steady_clock::now() - begin, seconds(10));
  EXPECT_EQ(kept_->held(), 0);
  cluster_->Kill(0);
  cluster_->Begin(0);
  EXPECT_TRUE(Eventually([&] { return held() == 2; }));
}

TEST_F(KeptLeaseTest, IsTakenFromARestoredEtcdWithAnotherId) {
  Keep();
  ASSERT_TRUE(Eventually([&] { return held() == 1; }));
  cluster_->Kill(0);
  writer_->ForgetCluster();
  cluster_->BeginAnother();
  EXPECT_TRUE(Eventually([&] { return held() == 2; }));
}

}  // namespace
}  // namespace tombolo::etcd
