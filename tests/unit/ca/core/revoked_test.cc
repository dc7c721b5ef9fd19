// SPDX-License-Identifier: Apache-2.0
#include "core/revoked.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/ascii.h"
#include "core/issuance.h"
#include "core/place.h"
#include "core_case.h"
#include "tls/certificate_builder.h"
#include "tls/certificate_facts.h"
#include "tls/handshake_failure.h"
#include "tls/serial.h"
#include "tls/signing_key.h"

namespace tombolo::ca {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const std::string kNode = "spiffe://test.example/cluster/east/node/n1";
const std::string kWeb = "spiffe://test.example/cluster/east/ns/shop/sa/web";

class RevokedTest : public CoreCase {
 protected:
  // Records a certificate as it was before there were series; its serial number.
  std::string Record(const std::string& subject, const std::string& node,
                     std::chrono::seconds ttl = std::chrono::hours(1)) {
    return Record(subject, node, ttl, tls::Serial::Random().hex());
  }
  std::string Record(const std::string& subject, const std::string& node, std::chrono::seconds ttl,
                     const std::string& serial) {
    const WallTime now = std::chrono::system_clock::now();
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

  // A leaf as it is issued to kWeb on a node.
  Issuance IssueFor(const std::string& node) {
    const auto authority = NewAuthorityFor("east").authority;
    const auto key = tls::SigningKey::FromPem(*tls::GenerateKey(), "key");
    auto made = IssueLeaf(**OpenAuthority(authority, keys_, kDomain),
                          {.id = *SpiffeId::Parse(kWeb),
                           .key = key->public_key(),
                           .node = PlaceOf(*SpiffeId::Parse(node))},
                          std::chrono::hours(1), std::chrono::system_clock::now());
    EXPECT_TRUE(made.ok()) << made.status();
    return *std::move(made);
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
  EXPECT_THAT(revoked.set.series, ElementsAre(tls::Serial::SeriesText(kNode)));
  EXPECT_THAT(revoked.ListOf("ab"), SizeIs(2));
  EXPECT_THAT(revoked.ListOf("other"), IsEmpty());
}

// A connection may be older than every certificate that is good now.
TEST_F(RevokedTest, ANodesSeriesSaysAllThatItWasEverGiven) {
  const auto record = [&](const std::string& node) {
    return Record(kWeb, PlaceOf(*SpiffeId::Parse(node)), std::chrono::hours(1),
                  IssueFor(node).record.serial);
  };
  const std::string web = record(kNode);
  const std::string elsewhere = record("spiffe://test.example/cluster/east/node/n2");
  const std::string long_ago = IssueFor(kNode).record.serial;
  Revoke(Kind::kNode, kNode);
  const tls::Revocations set = Read().set;
  EXPECT_THAT(set.serials, IsEmpty()) << "one text for all of them";
  const SpiffeId id = *SpiffeId::Parse(kWeb);
  EXPECT_EQ(tls::ReasonOf(set.Check(id, web)), tls::HandshakeFailure::kRevoked);
  EXPECT_EQ(tls::ReasonOf(set.Check(id, long_ago)), tls::HandshakeFailure::kRevoked);
  EXPECT_TRUE(set.Check(id, elsewhere).ok()) << "the same workload on another node";
  EXPECT_THAT(Read().ListOf("ab"), SizeIs(1));
}

TEST_F(RevokedTest, ASerialStaysRevokedAfterItsTime) {
  const std::string web = Record(kWeb, "east/n1");
  Revoke(Kind::kSerial, web);
  EXPECT_THAT(Read().ListOf("ab"), SizeIs(1));
  const Revoked later = Read(std::chrono::hours(2));
  EXPECT_THAT(later.set.serials, ElementsAre(web));
  EXPECT_THAT(later.ListOf("ab"), IsEmpty());
}

TEST_F(RevokedTest, WhatIsTakenBackIsForgotten) {
  const std::string web = Record(kWeb, "east/n1");
  Revoke(Kind::kWorkload, kWeb);
  Revoke(Kind::kNode, kNode);
  Revoke(Kind::kNode, kNode);
  EXPECT_THAT(Read().set.ids, SizeIs(2));
  Unrevoke(Kind::kNode, kNode);
  const Revoked revoked = Read();
  EXPECT_THAT(revoked.set.ids, ElementsAre(kWeb));
  EXPECT_THAT(revoked.set.series, IsEmpty());
  EXPECT_THAT(revoked.set.serials, IsEmpty());
  EXPECT_THAT(revoked.ListOf("ab"), SizeIs(1));
  Revoke(Kind::kNode, kNode);
  EXPECT_THAT(Read().set.serials, ElementsAre(web)) << "and once more";
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

// What the node was given need not be of its cluster by its name.
TEST_F(RevokedTest, ANodeStaysRevokedInARevokedCluster) {
  Revoke(Kind::kNode, kNode);
  Revoke(Kind::kCluster, "east");
  const tls::Revocations set = Read().set;
  EXPECT_THAT(set.series, ElementsAre(tls::Serial::SeriesText(kNode)));
  EXPECT_THAT(set.ids, IsEmpty()) << "which the cluster says";
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

TEST_F(RevokedTest, TheSerialNumberOfAnAuthorityIsNoLeafs) {
  const NewAuthority authority = NewAuthorityFor("east");
  Issue(authority.record);
  const Reader reader(*store_);
  const absl::Status status = CheckMayBeRevoked(Kind::kSerial, authority.record.serial, reader);
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("'revoke cluster'"));
  const std::string web = Record(kWeb, "east/n1");
  EXPECT_TRUE(CheckMayBeRevoked(Kind::kSerial, web, reader).ok());
  EXPECT_TRUE(CheckMayBeRevoked(Kind::kSerial, "4a000000000000000000000000000000", reader).ok())
      << "its record may have gone";
}

// Those that came from elsewhere before they were recorded, and roots, which have no record.
TEST_F(RevokedTest, TheTrustDocumentKnowsAuthorities) {
  AddCluster("east");
  const Reader reader(*store_);
  const TrustState trust = Trust().trust;
  const auto expect_refused = [&](const std::string& certificate, const std::string& whose) {
    const std::string serial = tls::FactsOf(certificate, "it")->front().serial;
    for (const std::string& text : {serial, absl::AsciiStrToUpper(serial)}) {
      const absl::Status status = CheckMayBeRevoked(Kind::kSerial, text, reader);
      EXPECT_TRUE(absl::IsInvalidArgument(status)) << text;
      EXPECT_THAT(std::string(status.message()), HasSubstr(whose));
    }
  };
  expect_refused(trust.SignerFor("east")->chain, "of 'intermediate east'");
  expect_refused(trust.active().certificate, "of 'a root'");
}

TEST_F(RevokedTest, TheAuthorityItselfStays) {
  const Reader reader(*store_);
  const std::string id = "spiffe://test.example/ca";
  EXPECT_EQ(*RevocationSubject(Kind::kWorkload, id, "test.example"), id) << "to be taken back";
  EXPECT_TRUE(absl::IsInvalidArgument(CheckMayBeRevoked(Kind::kWorkload, id, reader)));
  EXPECT_TRUE(CheckMayBeRevoked(Kind::kWorkload, kWeb, reader).ok());
  EXPECT_TRUE(CheckMayBeRevoked(Kind::kCluster, "ca", reader).ok());
}

TEST(RevocationSubjectTest, TakesWhatOperatorsWrite) {
  const auto subject = [](Kind kind, const std::string& text) {
    return RevocationSubject(kind, text, "test.example");
  };
  EXPECT_EQ(*subject(Kind::kNode, "east/n1"), kNode);
  EXPECT_EQ(*subject(Kind::kNode, kNode), kNode);
  const std::string gateway = "spiffe://test.example/cluster/east/gateway/gw-1";
  EXPECT_EQ(*subject(Kind::kNode, "east/gateway/gw-1"), gateway);
  EXPECT_EQ(*subject(Kind::kNode, gateway), gateway);
  EXPECT_EQ(*subject(Kind::kWorkload, kWeb), kWeb);
  EXPECT_EQ(*subject(Kind::kCluster, "east"), "east");
  EXPECT_EQ(*subject(Kind::kSerial, "4A0000000000000000000000000000FF"),
            "4a0000000000000000000000000000ff");
  for (const auto& [kind, text] : std::vector<std::pair<Kind, std::string>>{
           {Kind::kNode, kWeb},
           {Kind::kNode, "n1"},
           {Kind::kNode, "east/gateways/gw-1"},
           {Kind::kWorkload, kNode},
           {Kind::kWorkload, gateway},
           {Kind::kWorkload, "spiffe://test.example"},
           {Kind::kWorkload, "spiffe://other.example/cluster/east/ns/a/sa/b"},
           {Kind::kCluster, "a/b"},
           {Kind::kSerial, "12"}}) {
    EXPECT_TRUE(absl::IsInvalidArgument(subject(kind, text).status())) << text;
  }
}

}  // namespace
}  // namespace tombolo::ca
