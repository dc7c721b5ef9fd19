// SPDX-License-Identifier: Apache-2.0
#include "core/trust_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_replace.h"
#include "core/publication.h"
#include "core_case.h"
#include "tls/digest.h"

namespace tombolo::ca {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

class TrustStateTest : public CoreCase {
 protected:
  TrustStateTest() { AddCluster("east"); }

  // What Check() says of the state with one thing changed.
  std::string ErrorWith(const std::function<void(TrustState&)>& change) const {
    TrustState state = Trust().trust;
    change(state);
    const absl::Status checked = Check(state);
    EXPECT_TRUE(absl::IsInvalidArgument(checked)) << checked;
    EXPECT_FALSE(Encode(state).ok());
    return std::string(checked.message());
  }
};

TEST_F(TrustStateTest, IsReadAsItWasWritten) {
  TrustState state = Trust().trust;
  state.federated["other.example"] = MakeRoot("other.example", "", keys_)->certificate;
  const auto text = Encode(state);
  ASSERT_TRUE(text.ok()) << text.status();
  const auto read = DecodeTrustState(*text);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(*read, state);
  EXPECT_EQ(read->SignerFor("east")->cluster, "east");
  EXPECT_EQ(read->SignerFor("west"), nullptr);
}

TEST_F(TrustStateTest, RefusesWhatItDidNotWrite) {
  const std::string text = *Encode(Trust().trust);
  const auto error = [&](const std::string& from, const std::string& to) {
    const auto read = DecodeTrustState(absl::StrReplaceAll(text, {{from, to}}));
    EXPECT_TRUE(absl::IsDataLoss(read.status())) << read.status();
    return std::string(read.status().message());
  };
  EXPECT_THAT(error("\"active\"", "\"lively\""), HasSubstr("unknown 'state': 'lively'"));
  EXPECT_THAT(error("\"federated\":{}", "\"federated\":{},\"more\":1"),
              HasSubstr("unknown field 'more'"));
  EXPECT_THAT(error("\"cluster\":\"east\"", "\"cluster\":1"),
              HasSubstr("trust: authorities[1]: 'cluster' is not a string"));
  EXPECT_THAT(error("\"roots\":[", "\"roots\": ["), HasSubstr("not written as"));
  EXPECT_THAT(error("{", ""), HasSubstr("not JSON"));
}

TEST_F(TrustStateTest, SaysWhatDoesNotFitTogether) {
  EXPECT_THAT(ErrorWith([](TrustState& s) { s.roots.clear(); }), HasSubstr("0 roots"));
  EXPECT_THAT(ErrorWith([](TrustState& s) { s.roots[0].state = RootState::kOld; }),
              HasSubstr("0 active roots"));
  EXPECT_THAT(ErrorWith([](TrustState& s) { s.authorities[1].root = "ab"; }),
              HasSubstr("below the root 'ab', which is not there"));
  EXPECT_THAT(ErrorWith([](TrustState& s) { s.authorities[1].cluster = ""; }),
              HasSubstr("two authorities of ''"));
  EXPECT_THAT(ErrorWith([](TrustState& s) { s.authorities[1].cluster = "a/b"; }),
              HasSubstr("'a/b' has a '/'"));
  EXPECT_THAT(ErrorWith([](TrustState& s) { s.authorities[1].id = s.authorities[0].id; }),
              HasSubstr("has the key"));
  EXPECT_THAT(ErrorWith([](TrustState& s) { s.authorities[1].chain = "rubbish"; }),
              HasSubstr("no certificate in PEM"));
  EXPECT_THAT(ErrorWith([](TrustState& s) { s.roots[0].certificate += s.roots[0].certificate; }),
              HasSubstr("more than one certificate"));
  EXPECT_THAT(ErrorWith([](TrustState& s) { s.federated["test.example"] = "x"; }),
              HasSubstr("with itself"));
  EXPECT_THAT(ErrorWith([](TrustState& s) { s.federated["other.example"] = "x"; }),
              HasSubstr("federated 'other.example'"));
  EXPECT_THAT(ErrorWith([](TrustState& s) { s.trust_domain = "other.example"; }),
              HasSubstr("test.example"));
}

TEST_F(TrustStateTest, ARootIsNoAuthority) {
  EXPECT_THAT(ErrorWith([](TrustState& s) {
                s.authorities[1].chain = s.roots[0].certificate;
                s.authorities[1].id = s.roots[0].id;
              }),
              HasSubstr("twice"));
}

TEST_F(TrustStateTest, PublishesEachAuthorityForItsCluster) {
  TrustState state = Trust().trust;
  TrustRoot second = *MakeRoot(kDomain, "", keys_);
  second.state = RootState::kPrepared;
  state.roots.push_back(second);
  state.federated["other.example"] = MakeRoot("other.example", "", keys_)->certificate;
  tls::Revocations revoked;
  revoked.clusters.insert("west");
  const auto bundle = ToTrustBundle(state, revoked, 12);
  ASSERT_TRUE(bundle.ok()) << bundle.status();
  EXPECT_EQ(bundle->sequence, 12u);
  EXPECT_EQ(bundle->roots, state.roots[0].certificate + second.certificate);
  ASSERT_THAT(bundle->bindings->clusters, SizeIs(2));
  for (const TrustAuthority& authority : state.authorities) {
    const auto key = tls::PublicKeyOf(authority.chain, "authority")->id();
    EXPECT_EQ(bundle->bindings->clusters.at(key), authority.cluster);
    EXPECT_EQ(tls::Hex(key), authority.id);
  }
  EXPECT_TRUE(bundle->tainted.empty());
  EXPECT_TRUE(bundle->revoked.clusters.contains("west"));
  ASSERT_THAT(bundle->federated, SizeIs(1));
  const auto text = tls::WriteTrustBundle(*bundle);
  ASSERT_TRUE(text.ok()) << text.status();
  const auto read = tls::ParseTrustBundle(*text, kDomain, "bundle");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(*read, *bundle);
}

TEST_F(TrustStateTest, TellsWhichKeysToRenewAwayFrom) {
  TrustState state = Trust().trust;
  TrustRoot second = *MakeRoot(kDomain, "", keys_);
  state.roots[0].state = RootState::kTainted;
  state.roots.push_back(second);
  const auto bundle = ToTrustBundle(state, {}, 1);
  ASSERT_TRUE(bundle.ok()) << bundle.status();
  EXPECT_THAT(bundle->tainted, SizeIs(3)) << "the root and both authorities below it";
  EXPECT_THAT(bundle->bindings->clusters, SizeIs(2)) << "what they signed still holds";
}

}  // namespace
}  // namespace tombolo::ca
