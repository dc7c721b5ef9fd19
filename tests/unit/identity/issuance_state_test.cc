// SPDX-License-Identifier: Apache-2.0
// What a node has from its files and keeps in them.
#include <sys/stat.h>

#include <filesystem>

#include "base/files.h"
#include "tls/certificate_builder.h"
#include "unit/identity/issuance_case.h"

namespace tombolo::identity {
namespace {

using ::testing::HasSubstr;

TEST_F(IssuanceTest, AnExpiredNodeComesBackWithAnotherToken) {
  authority_.ttl = seconds(2);
  Start({Id("a")});
  ASSERT_TRUE(Until([&] { return Has("a"); }));
  authority_.Close();
  ASSERT_TRUE(Until([&] { return !Has("a"); }));
  EXPECT_THAT(NotReady(), HasSubstr("the node has no valid SVID: "));
  authority_.Open();
  ASSERT_TRUE(Until([&] { return NotReady().find("status 401") != std::string::npos; }));
  EXPECT_FALSE(Has("a"));
  authority_.tokens = {"two"};
  authority_.ttl = seconds(3600);
  dir_.Replace("token", "two");
  EXPECT_TRUE(Until([&] { return Has("a"); }));
}

TEST_F(IssuanceTest, NodeAndBundleSurviveARestart) {
  options_.state = dir_.Path("state");
  Start({Id("a")});
  ASSERT_TRUE(Until([&] { return Has("a"); }));
  const std::string node = issuance_->View().node.serial;
  Stop();
  struct stat status {};
  ASSERT_EQ(stat(dir_.Path("state/node.pem").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600u);
  EXPECT_EQ(authority_.CountOf(kReenroll), 0u);
  // The authority is away, and its token is spent.
  authority_.Close();
  Start({Id("a")});
  EXPECT_EQ(issuance_->View().node.serial, node);
  EXPECT_EQ(issuance_->View().sequence, 1u);
  ASSERT_TRUE(Until([&] { return issuance_->View().workloads.at(Id("a")).failures > 0; }));
  EXPECT_THAT(NotReady(), HasSubstr("1 of 1 SVIDs were not issued yet"));
  authority_.Open();
  EXPECT_TRUE(Until([&] { return Has("a"); }));
}

TEST_F(IssuanceTest, AnSvidFromDiskThatIsTaintedIsRenewedAtOnce) {
  options_.state = dir_.Path("state");
  Start({});
  ASSERT_TRUE(Until([&] { return NotReady().empty(); }));
  authority_.intercept = [](const auto& request) -> std::optional<TestAuthority::Answer> {
    if (request.target == kTrust) return std::nullopt;
    return TestAuthority::Answer{.status = 503};
  };
  authority_.bundle.tainted.insert(authority_.KeyOf("east"));
  authority_.Publish(2);
  ASSERT_TRUE(Until([&] { return issuance_->View().sequence == 2; }));
  const std::string serial = issuance_->View().node.serial;
  Stop();
  authority_.intercept = nullptr;
  Start({});
  EXPECT_EQ(issuance_->View().node.serial, serial);
  EXPECT_TRUE(Until([&] { return issuance_->View().node.serial != serial; }, seconds(5)));
}

TEST_F(IssuanceTest, KeysOfWorkloadsAreOnDiskWhereThatIsAskedForAndNowhereElse) {
  options_.state = dir_.Path("state");
  const std::string file = SvidDirectory(options_) + "/cluster.east.ns.shop.sa.a.pem";
  Start({Id("a")});
  ASSERT_TRUE(Until([&] { return Has("a"); }));
  EXPECT_FALSE(std::filesystem::exists(SvidDirectory(options_)));
  Stop();
  options_.keep_workloads = true;
  Start({Id("a"), Id("b")});
  ASSERT_TRUE(Until([&] { return Has("a") && Has("b"); }));
  struct stat status {};
  ASSERT_EQ(stat(file.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600u);
  const std::string serial = Find("a")->serial();
  Stop();
  authority_.Close();
  Start({Id("a")});
  ASSERT_TRUE(Has("a"));
  EXPECT_EQ(Find("a")->serial(), serial);
  EXPECT_FALSE(std::filesystem::exists(SvidDirectory(options_) + "/cluster.east.ns.shop.sa.b.pem"));
  EXPECT_TRUE(issuance_->View().state_error.ok()) << issuance_->View().state_error;
  Stop();
  options_.keep_workloads = false;
  Start({Id("a")});
  EXPECT_FALSE(Has("a"));
  EXPECT_FALSE(std::filesystem::exists(file));
}

TEST_F(IssuanceTest, AKeptSvidThatIsRevokedMeanwhileIsNotUsed) {
  options_.state = dir_.Path("state");
  options_.keep_workloads = true;
  Start({Id("a")});
  ASSERT_TRUE(Until([&] { return Has("a"); }));
  const std::string serial = Find("a")->serial();
  authority_.bundle.revoked.serials.insert(serial);
  authority_.intercept = [](const auto& request) -> std::optional<TestAuthority::Answer> {
    if (request.method != "POST") return std::nullopt;
    return TestAuthority::Answer{.status = 503};
  };
  authority_.Publish(2);
  const auto on_disk = [&] { return ReadFile(BundleFile(options_), 1'000'000).value_or(""); };
  ASSERT_TRUE(Until([&] { return on_disk().find("\"spiffe_sequence\":2,") != std::string::npos; }));
  EXPECT_FALSE(Has("a"));
  Stop();
  Start({Id("a")});
  EXPECT_FALSE(Has("a"));
}

TEST_F(IssuanceTest, ABrokenStateIsLeftForTheToken) {
  options_.state = dir_.Path("state");
  dir_.Write("state/bundle.json", "{");
  dir_.Write("state/node.pem", "not PEM");
  Start({Id("a")});
  ASSERT_TRUE(Until([&] { return Has("a"); }));
  EXPECT_TRUE(issuance_->View().state_error.ok());
  EXPECT_THAT(*ReadFile(dir_.Path("state/bundle.json"), 100'000), HasSubstr("spiffe_sequence"));
}

TEST_F(IssuanceTest, ABrokenBundleOnDiskDoesNotCostTheNodesSvid) {
  options_.state = dir_.Path("state");
  Start({Id("a")});
  ASSERT_TRUE(Until([&] { return Has("a"); }));
  const std::string serial = issuance_->View().node.serial;
  Stop();
  dir_.Write("state/bundle.json", "{");
  Start({Id("a")});
  EXPECT_EQ(issuance_->View().node.serial, serial);
  EXPECT_TRUE(Until([&] { return Has("a"); }));
  EXPECT_EQ(authority_.CountOf(kEnroll), 3u);  // the node's once
}

TEST_F(IssuanceTest, AStateThatCannotBeWrittenIsSaidAndWrittenLater) {
  dir_.Write("file", "");
  options_.state = dir_.Path("file");
  Start({Id("a")});
  ASSERT_TRUE(Until([&] { return Has("a"); }));
  EXPECT_THAT(std::string(issuance_->View().state_error.message()), HasSubstr("file/"));
  std::filesystem::remove(options_.state);
  ASSERT_TRUE(Until([&] { return issuance_->View().state_error.ok(); }));
  EXPECT_TRUE(std::filesystem::exists(BundleFile(options_)));
  EXPECT_TRUE(std::filesystem::exists(NodeFile(options_)));
}

TEST_F(IssuanceTest, WhatCouldNotBeRemovedIsSaidUntilItIsGone) {
  options_.state = dir_.Path("state");
  const std::string stuck = SvidDirectory(options_) + "/left";
  std::filesystem::create_directories(stuck);
  Start({});
  EXPECT_FALSE(issuance_->View().state_error.ok());
  std::filesystem::remove(stuck);
  issuance_->SetWorkloads({});
  EXPECT_TRUE(issuance_->View().state_error.ok()) << issuance_->View().state_error;
}

TEST_F(IssuanceTest, AJoinTokenSurvivesALostAnswer) {
  authority_.lost_answers = 2;
  Start({Id("a")});
  ASSERT_TRUE(Until([&] { return Has("a"); }));
  EXPECT_EQ(authority_.lost_answers, 0);
  EXPECT_EQ(authority_.CountOf(kEnroll), 4u);
}

TEST_F(IssuanceTest, AJoinTokenSurvivesALostAnswerAndACrash) {
  options_.state = dir_.Path("state");
  authority_.lost_answers = 1'000'000;
  Start({Id("a")});
  ASSERT_TRUE(Until([&] { return issuance_->View().node.failures > 0; }));
  const std::string key = dir_.Path("state/node.key");
  struct stat status {};
  ASSERT_EQ(stat(key.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600u);
  Stop();
  authority_.lost_answers = 0;
  Start({Id("a")});
  ASSERT_TRUE(Until([&] { return Has("a"); }));
  EXPECT_TRUE(issuance_->View().state_error.ok()) << issuance_->View().state_error;
  EXPECT_NE(stat(key.c_str(), &status), 0) << "the next request with a token has another key";
}

TEST_F(IssuanceTest, AKeyThatIsNotTheSvidsIsKeptAcrossARestart) {
  options_.state = dir_.Path("state");
  Start({});
  ASSERT_TRUE(Until([&] { return NotReady().empty(); }));
  Stop();
  authority_.Close();
  const std::string pem = *ReadFile(NodeFile(options_), 100'000);
  for (const bool own : {false, true}) {
    const std::string key =
        own ? pem.substr(0, pem.find("-----BEGIN CERTIFICATE")) : *tls::GenerateKey();
    dir_.Write("state/node.key", key);
    Start({});
    EXPECT_NE(issuance_->View().node.serial, "");
    EXPECT_EQ(ReadFile(KeyFile(options_), 100'000).value_or("none"), own ? "none" : key);
    Stop();
  }
}

TEST_F(IssuanceTest, AKeyOnDiskThatIsNoneIsReplaced) {
  options_.state = dir_.Path("state");
  dir_.Write("state/node.key", "not PEM");
  Start({Id("a")});
  EXPECT_TRUE(Until([&] { return Has("a"); }));
}

TEST_F(IssuanceTest, OnlyItsOwnFilesMakeANodeTryAtOnce) {
  options_.pace.first_retry = options_.pace.max_retry = std::chrono::hours(1);
  authority_.tokens = {};
  Start({Id("a")});
  const auto attempts = [&] { return authority_.CountOf(kEnroll); };
  ASSERT_TRUE(Until([&] { return issuance_->View().node.failures == 1; }));
  issuance_->TryNode();  // something else has changed
  For(milliseconds(100));
  EXPECT_EQ(attempts(), 1u);
  authority_.tokens = {"two"};
  dir_.Replace("token", "two");
  issuance_->TryNode();
  ASSERT_TRUE(Until([&] { return Has("a"); }));
  EXPECT_EQ(attempts(), 3u);  // the node's, and that of "a"
}

TEST_F(IssuanceTest, MissingFilesAreReadAgain) {
  options_.trust = dir_.Path("later.pem");
  options_.join_token = dir_.Path("later");
  Start({Id("a")});
  ASSERT_TRUE(Until([&] { return issuance_->View().node.failures >= 1; }));
  EXPECT_THAT(NotReady(), HasSubstr("later.pem"));
  dir_.Write("later.pem", authority_.root());
  ASSERT_TRUE(Until([&] { return NotReady().find("later'") != std::string::npos; }));
  dir_.Write("later", "one");
  EXPECT_TRUE(Until([&] { return Has("a"); }));
}

}  // namespace
}  // namespace tombolo::identity
