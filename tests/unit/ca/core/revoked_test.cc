// SPDX-License-Identifier: Apache-2.0
#include "core/revoked.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core_case.h"
#include "tls/serial.h"

namespace tombolo::ca {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const std::string kNode = "spiffe://test.example/cluster/east/node/n1";
const std::string kWeb = "spiffe://test.example/cluster/east/ns/shop/sa/web";

class RevokedTest : public CoreCase {
 protected:
  // Records a certificate; its serial number.
  std::string Record(const std::string& subject, const std::string& node,
                     std::chrono::seconds ttl = std::chrono::hours(1)) {
    const WallTime now = std::chrono::system_clock::now();
    const std::string serial = tls::Serial::Random().hex();
    Issue({.serial = serial,
           .subject = subject,
           .not_before = now,
           .not_after = now + ttl,
           .issuer_key = "ab",
           .requester = "test",
           .node = node,
           .certificate = "cd"});
    return serial;
  }
  Revoked Read(std::chrono::seconds later = {}) {
    auto revoked = revoked_.Read(Reader(*store_), std::chrono::system_clock::now() + later);
    EXPECT_TRUE(revoked.ok()) << revoked.status();
    return *std::move(revoked);
  }

  RevokedReader revoked_;
};

TEST_F(RevokedTest, ANodeStandsForAllThatItWasGiven) {
  const std::string own = Record(kNode, "east/n1");
  const std::string web = Record(kWeb, "east/n1");
  Record(kWeb, "east/n2");
  Record(kWeb, "east/n1", std::chrono::seconds(-1));
  Revoke(Kind::kNode, kNode);
  const Revoked revoked = Read();
  EXPECT_THAT(revoked.set.ids, ElementsAre(kNode));
  EXPECT_EQ(revoked.set.serials, (std::set<std::string>{own, web}));
  EXPECT_THAT(revoked.ListOf("ab"), SizeIs(2));
  EXPECT_THAT(revoked.ListOf("other"), IsEmpty());
}

TEST_F(RevokedTest, AWorkloadIsAnIdentity) {
  const std::string web = Record(kWeb, "east/n1");
  Revoke(Kind::kWorkload, kWeb);
  const Revoked revoked = Read();
  EXPECT_THAT(revoked.set.ids, ElementsAre(kWeb));
  EXPECT_THAT(revoked.set.serials, IsEmpty()) << "its ID says it all";
  ASSERT_THAT(revoked.ListOf("ab"), SizeIs(1)) << "but others read the list";
  EXPECT_EQ(revoked.ListOf("ab")[0].serial, web);
}

TEST_F(RevokedTest, AClusterAndASerial) {
  const std::string web = Record(kWeb, "east/n1");
  Revoke(Kind::kSerial, web);
  Revoke(Kind::kSerial, "4a000000000000000000000000000000");
  Revoke(Kind::kCluster, "east");
  const Revoked revoked = Read();
  EXPECT_THAT(revoked.set.clusters, ElementsAre("east"));
  EXPECT_EQ(revoked.set.serials, (std::set<std::string>{web, "4a000000000000000000000000000000"}));
  EXPECT_THAT(revoked.ListOf("ab"), SizeIs(1)) << "once, for two reasons";
}

TEST_F(RevokedTest, WhatHasExpiredNeedsNoRevocation) {
  Record(kWeb, "east/n1");
  Revoke(Kind::kNode, kNode);
  EXPECT_THAT(Read().set.serials, SizeIs(1));
  const Revoked later = Read(std::chrono::hours(2));
  EXPECT_THAT(later.set.serials, IsEmpty());
  EXPECT_THAT(later.ListOf("ab"), IsEmpty());
  EXPECT_THAT(later.set.ids, ElementsAre(kNode));
}

TEST_F(RevokedTest, LaterOnesAreFoundToo) {
  Revoke(Kind::kWorkload, kWeb);
  EXPECT_THAT(Read().set.ids, SizeIs(1));
  const std::string own = Record(kNode, "east/n1");
  Revoke(Kind::kNode, kNode);
  const Revoked revoked = Read();
  EXPECT_THAT(revoked.set.ids, SizeIs(2));
  EXPECT_THAT(revoked.set.serials, ElementsAre(own));
}

TEST(RevocationSubjectTest, TakesWhatOperatorsWrite) {
  const auto subject = [](Kind kind, const std::string& text) {
    return RevocationSubject(kind, text, "test.example");
  };
  EXPECT_EQ(*subject(Kind::kNode, "east/n1"), kNode);
  EXPECT_EQ(*subject(Kind::kNode, kNode), kNode);
  EXPECT_EQ(*subject(Kind::kWorkload, kWeb), kWeb);
  EXPECT_EQ(*subject(Kind::kCluster, "east"), "east");
  EXPECT_EQ(*subject(Kind::kSerial, "4A0000000000000000000000000000FF"),
            "4a0000000000000000000000000000ff");
  for (const auto& [kind, text] : std::vector<std::pair<Kind, std::string>>{
           {Kind::kNode, kWeb},
           {Kind::kNode, "n1"},
           {Kind::kWorkload, kNode},
           {Kind::kWorkload, "spiffe://test.example"},
           {Kind::kWorkload, "spiffe://other.example/cluster/east/ns/a/sa/b"},
           {Kind::kCluster, "a/b"},
           {Kind::kSerial, "12"}}) {
    EXPECT_TRUE(absl::IsInvalidArgument(subject(kind, text).status())) << text;
  }
}

}  // namespace
}  // namespace tombolo::ca
