// SPDX-License-Identifier: Apache-2.0
#include "core/publication.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_format.h"
#include "core_case.h"

namespace tombolo::ca {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class PublicationTest : public CoreCase {
 protected:
  static void ExpectTooLarge(const absl::Status& status, const std::string& limit) {
    EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(limit));
  }
  tls::Revocations With(const Revocation& planned) {
    const auto revoked =
        RevokedReader().ReadWith(planned, Reader(*store_), std::chrono::system_clock::now());
    EXPECT_TRUE(revoked.ok()) << revoked.status();
    return revoked->set;
  }
};

TEST_F(PublicationTest, WhatReadersRefuseIsNotWritten) {
  const TrustState trust = Trust().trust;
  tls::Revocations revoked;
  EXPECT_TRUE(CheckPublishable(trust, revoked).ok());
  const std::string name(60, 'a');
  for (int i = 0; i < 40000; ++i) {
    revoked.ids.insert(absl::StrFormat("spiffe://test.example/cluster/east/ns/%s/sa/%d", name, i));
  }
  const absl::Status status = CheckPublishable(trust, revoked);
  ExpectTooLarge(status, "bytes, and may have 4194304: ");
  EXPECT_THAT(std::string(status.message()), HasSubstr("'tombolo-ca unrevoke'"));
  ExpectTooLarge(Publish(trust, revoked, 7).status(), "4194304");
}

TEST_F(PublicationTest, AListMayBeTooLongBeforeTheWholeIsTooLarge) {
  tls::Revocations revoked;
  for (int i = 0; i <= 65536; ++i) revoked.serials.insert(absl::StrFormat("%08x", i));
  ExpectTooLarge(CheckPublishable(Trust().trust, revoked), "more than 65536 'serials'");
}

TEST_F(PublicationTest, TrustLeavesRoomForRevocations) {
  const std::size_t size = Publish(Trust().trust, {}, kMaxSequence)->document.size();
  EXPECT_TRUE(CheckPublishable(Trust().trust, {}, {.trust = size, .all = size}).ok());
  ExpectTooLarge(CheckPublishable(Trust().trust, {}, {.trust = size - 1, .all = size}),
                 "without what is revoked");
  const tls::Revocations revoked{.ids = {"spiffe://test.example/a"}};
  ExpectTooLarge(CheckPublishable(Trust().trust, revoked, {.trust = size, .all = size}),
                 "nothing is changed");
}

TEST_F(PublicationTest, WhatIsPlannedIsThereAndNotWritten) {
  const std::string web = "spiffe://test.example/cluster/east/ns/shop/sa/web";
  Revoke(Kind::kWorkload, web);
  const std::string node = "spiffe://test.example/cluster/east/node/n1";
  const tls::Revocations set = With({.kind = Kind::kNode, .subject = node});
  EXPECT_THAT(set.ids, SizeIs(2));
  EXPECT_THAT(set.series, SizeIs(1));
  EXPECT_THAT(State().revoked.set.series, IsEmpty());
  const tls::Revocations cluster = With({.kind = Kind::kCluster, .subject = "east"});
  EXPECT_THAT(cluster.clusters, SizeIs(1));
  EXPECT_THAT(cluster.ids, IsEmpty()) << "the cluster says it already";
}

}  // namespace
}  // namespace tombolo::ca
