// SPDX-License-Identifier: Apache-2.0
// A node and an authority over TLS, each way in which that goes wrong and on.
#include "identity/issuance.h"

#include <sys/stat.h>

#include <algorithm>
#include <csignal>

#include <boost/asio/co_spawn.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "identity/files.h"
#include "testing/test_authority.h"
#include "unit/source/temp_dir.h"

namespace tombolo::identity {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ClusterPki;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::TestAuthority;

constexpr char kEnroll[] = "/simpleenroll";
constexpr char kReenroll[] = "/simplereenroll";
constexpr char kTrust[] = "/v1/trust";

class IssuanceTest : public ::testing::Test {
 protected:
  IssuanceTest() : authority_(io_) {
    std::signal(SIGPIPE, SIG_IGN);
    options_.cluster = "east";
    options_.node = "east-1";
    options_.trust_domain = ClusterPki::kDomain;
    options_.urls = {authority_.url()};
    options_.trust = dir_.Write("trust.pem", authority_.root());
    options_.join_token = dir_.Write("token", "one\n");
    options_.pace = {.first_retry = milliseconds(20),
                     .max_retry = milliseconds(100),
                     .min_retry = milliseconds(20)};
    options_.jitter = [] { return 0.0; };
    authority_.tokens = {"one"};
  }
  ~IssuanceTest() override {
    Stop();
    Run(authority_.Stop());
  }

  static SpiffeId Id(const std::string& account) {
    return *SpiffeId::ForWorkload(ClusterPki::kDomain, "east", "shop", account);
  }

  void Start(const std::set<SpiffeId>& ids) {
    auto made = Issuance::Create(io_.get_executor(), options_);
    ASSERT_TRUE(made.ok()) << made.status();
    issuance_ = *std::move(made);
    issuance_->SetWorkloads(ids);
    issuance_->Run([this] { ++changes_; });
  }
  void Stop() {
    if (issuance_ == nullptr) return;
    Run(issuance_->Stop());
    issuance_.reset();
  }

  template <typename Predicate>
  bool Until(Predicate done, Duration patience = seconds(20)) {
    const MonotonicTime deadline = After(patience);
    while (!done()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      io_.restart();
      io_.run_for(milliseconds(2));
    }
    return true;
  }
  void For(Duration time) {
    const MonotonicTime end = After(time);
    Until([&] { return std::chrono::steady_clock::now() >= end; });
  }
  void Run(Awaitable<void> task) {
    bool done = false;
    asio::co_spawn(io_, std::move(task), [&](const std::exception_ptr&) { done = true; });
    EXPECT_TRUE(Until([&] { return done; }));
  }

  tls::CredentialsPtr Find(const std::string& account) {
    return issuance_->store()->Find(Id(account));
  }
  bool Has(const std::string& account) { return Find(account) != nullptr; }
  std::string ErrorOf(const std::string& account) {
    return std::string(issuance_->store()->entries().at(Id(account)).error.message());
  }
  std::string NotReady() {
    const std::vector<std::string> reasons = issuance_->NotReady();
    return reasons.empty() ? "" : reasons.front();
  }

  asio::io_context io_;
  source::TempDir dir_;
  TestAuthority authority_;
  Options options_;
  std::unique_ptr<Issuance> issuance_;
  int changes_ = 0;
};

TEST_F(IssuanceTest, EnrolsByTokenAndHasEveryWorkloadsSvid) {
  std::set<SpiffeId> ids;
  for (int i = 0; i < 40; ++i) ids.insert(Id("w" + std::to_string(i)));
  Start(ids);
  EXPECT_THAT(NotReady(), HasSubstr("the node has no valid SVID"));
  EXPECT_EQ(ErrorOf("w0"), "not issued yet");
  const auto all = [&] {
    return std::ranges::all_of(
        ids, [&](const auto& id) { return issuance_->store()->Find(id) != nullptr; });
  };
  ASSERT_TRUE(Until(all)) << NotReady();
  EXPECT_THAT(NotReady(), IsEmpty());
  EXPECT_TRUE(authority_.tokens.empty());
  EXPECT_EQ(authority_.CountOf(kEnroll), 41u);
  const std::string node = "spiffe://test.example/cluster/east/node/east-1";
  for (const auto& request : authority_.requests()) {
    const bool first = &request == &authority_.requests().front();
    EXPECT_EQ(request.token, first ? "one" : "");
    EXPECT_EQ(request.caller, first ? "" : node);
  }
  // Many at once are few changes for the agent.
  EXPECT_LT(changes_, 20);
  const IssuanceView view = issuance_->View();
  EXPECT_TRUE(view.reachable);
  EXPECT_EQ(view.sequence, 1u);
  EXPECT_EQ(view.node.id.text(), node);
  EXPECT_EQ(view.workloads.size(), 40u);
  EXPECT_EQ(view.workloads.at(Id("w7")).serial, Find("w7")->serial());
  // It holds the bundle, and says so by asking for the next.
  const auto confirms = [](const auto& request) { return request.if_none_match == "\"1\""; };
  EXPECT_TRUE(Until([&] { return std::ranges::any_of(authority_.requests(), confirms); }));
}

TEST_F(IssuanceTest, NothingIsIssuedBeforeTheAuthoritysOwnBundleIsThere) {
  authority_.intercept = [](const auto& request) -> std::optional<TestAuthority::Answer> {
    if (request.target == kTrust) return TestAuthority::Answer{.status = 503, .retry_after = "0"};
    return std::nullopt;
  };
  Start({Id("a")});
  ASSERT_TRUE(Until([&] { return authority_.CountOf(kTrust) >= 3; }));
  EXPECT_EQ(authority_.CountOf(kEnroll), 1u);  // the node
  EXPECT_THAT(NotReady(), HasSubstr("no trust bundle from the authority yet: "));
  authority_.intercept = nullptr;
  EXPECT_TRUE(Until([&] { return Has("a"); }));
}

TEST_F(IssuanceTest, RenewsAtHalfOfTheLifetime) {
  authority_.ttl = seconds(4);
  Start({Id("a")});
  ASSERT_TRUE(Until([&] { return Has("a"); }));
  const WallTime obtained = std::chrono::system_clock::now();
  const tls::CredentialsPtr first = Find("a");
  bool always = true;
  ASSERT_TRUE(Until([&] {
    always = always && Has("a");
    return Find("a") != first;
  }));
  EXPECT_TRUE(always);
  const WallTime renewed = std::chrono::system_clock::now();
  EXPECT_GT(renewed, obtained + milliseconds(1000));
  EXPECT_LT(renewed, first->not_after() - milliseconds(500));
  // The node's own too, by itself, with a new key.
  ASSERT_TRUE(Until([&] { return authority_.CountOf(kReenroll) >= 1; }));
  EXPECT_THAT(NotReady(), IsEmpty());
}

TEST_F(IssuanceTest, AnAuthorityThatWasAwayIsForgiven) {
  authority_.ttl = seconds(6);
  Start({Id("a")});
  ASSERT_TRUE(Until([&] { return Has("a"); }));
  const tls::CredentialsPtr first = Find("a");
  authority_.Close();
  const auto failures = [&] { return issuance_->View().workloads.at(Id("a")).failures; };
  ASSERT_TRUE(Until([&] { return failures() >= 2; }));
  EXPECT_EQ(Find("a"), first);  // it holds
  EXPECT_FALSE(issuance_->View().reachable);
  EXPECT_THAT(ErrorOf("a"), HasSubstr("https://127.0.0.1"));
  EXPECT_THAT(NotReady(), IsEmpty());
  // A workload that comes now has to wait, and the node says that.
  issuance_->SetWorkloads({Id("a"), Id("b")});
  EXPECT_THAT(NotReady(), HasSubstr("1 of 2 SVIDs were not issued yet"));
  ASSERT_TRUE(Until([&] { return issuance_->View().workloads.at(Id("a")).expires_soon; }));
  authority_.Open();
  ASSERT_TRUE(Until([&] { return Has("b") && Find("a") != first; }));
  EXPECT_LT(std::chrono::system_clock::now(), first->not_after());
  EXPECT_TRUE(issuance_->View().reachable);
  EXPECT_EQ(ErrorOf("a"), "");
  EXPECT_EQ(failures(), 0u);
}

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

TEST_F(IssuanceTest, IsNotAskedSoonerThanItWants) {
  int refused = 0;
  authority_.intercept = [&](const auto& request) -> std::optional<TestAuthority::Answer> {
    if (request.caller.empty() || request.target == kTrust || refused == 1) return std::nullopt;
    ++refused;
    return TestAuthority::Answer{.status = 429, .retry_after = "1"};
  };
  Start({Id("a"), Id("b"), Id("c")});
  ASSERT_TRUE(Until([&] { return Has("a") && Has("b") && Has("c"); }));
  std::optional<MonotonicTime> at;
  for (const auto& request : authority_.requests()) {
    if (request.caller.empty() || request.target == kTrust) continue;
    if (!at) at = request.at;
    // Others were under way at the same moment, and after that none.
    const Duration after = request.at - *at;
    EXPECT_TRUE(after < milliseconds(500) || after >= seconds(1)) << after.count();
  }
  EXPECT_EQ(refused, 1);
}

TEST_F(IssuanceTest, ANewBundleComesAtOnce) {
  Start({Id("a"), Id("b")});
  ASSERT_TRUE(Until([&] { return Has("a") && Has("b"); }));
  ASSERT_TRUE(Until([&] { return authority_.CountOf(kTrust) == 2; }));
  const tls::CredentialsPtr before = Find("a");
  authority_.refused = {Id("b").text()};
  authority_.bundle.revoked.ids.insert(Id("b").text());
  authority_.Publish(2);
  ASSERT_TRUE(Until([&] { return !Has("b"); }, seconds(5)));
  EXPECT_FALSE(issuance_->store()->CheckRevoked(Id("b"), "01").ok());
  EXPECT_EQ(issuance_->View().sequence, 2u);
  // The same SVID, judged by the new bundle and with it for its peers.
  ASSERT_TRUE(Until([&] { return Has("a") && Find("a") != before; }));
  EXPECT_EQ(Find("a")->serial(), before->serial());
  ASSERT_TRUE(Until([&] { return ErrorOf("b").find("403: not yours") != std::string::npos; }));
  EXPECT_THAT(NotReady(), IsEmpty());  // that one is refused is no fault of the node
  ASSERT_TRUE(Until([&] { return authority_.CountOf(kTrust) == 3; }));
}

TEST_F(IssuanceTest, WhatIsTaintedIsRenewedAtOnceAndOnce) {
  Start({Id("a")});
  ASSERT_TRUE(Until([&] { return Has("a"); }));
  const std::string serial = Find("a")->serial();
  authority_.bundle.tainted.insert(authority_.KeyOf("east"));
  authority_.Publish(2);
  ASSERT_TRUE(Until([&] { return Has("a") && Find("a")->serial() != serial; }, seconds(5)));
  ASSERT_TRUE(Until([&] { return authority_.CountOf(kReenroll) == 1; }));
  For(milliseconds(200));
  EXPECT_EQ(authority_.CountOf(kEnroll), 3u);
  EXPECT_EQ(authority_.CountOf(kReenroll), 1u);
}

TEST_F(IssuanceTest, AnOlderBundleTakesNothingBack) {
  authority_.bundle.revoked.ids.insert(Id("b").text());
  authority_.Publish(5);
  Start({Id("a")});
  ASSERT_TRUE(Until([&] { return Has("a"); }));
  authority_.bundle.revoked = {};
  authority_.Publish(4);
  const auto error = [&] { return std::string(issuance_->View().trust_error.message()); };
  ASSERT_TRUE(Until([&] { return !error().empty(); }));
  EXPECT_THAT(error(), HasSubstr("went back from sequence 5 to 4"));
  EXPECT_EQ(issuance_->View().sequence, 5u);
  EXPECT_FALSE(issuance_->store()->CheckRevoked(Id("b"), "01").ok());
  authority_.Publish(6);
  EXPECT_TRUE(Until([&] { return issuance_->View().sequence == 6 && error().empty(); }));
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

TEST_F(IssuanceTest, ABrokenStateIsLeftForTheToken) {
  options_.state = dir_.Path("state");
  dir_.Write("state/bundle.json", "{");
  dir_.Write("state/node.pem", "not PEM");
  Start({Id("a")});
  ASSERT_TRUE(Until([&] { return Has("a"); }));
  EXPECT_TRUE(issuance_->View().state_error.ok());
  EXPECT_THAT(*ReadFile(dir_.Path("state/bundle.json"), 100'000), HasSubstr("spiffe_sequence"));
}

TEST_F(IssuanceTest, AStateThatCannotBeWrittenIsSaidAndNoMore) {
  dir_.Write("file", "");
  options_.state = dir_.Path("file");
  Start({Id("a")});
  ASSERT_TRUE(Until([&] { return Has("a"); }));
  EXPECT_THAT(std::string(issuance_->View().state_error.message()), HasSubstr("file/"));
}

TEST_F(IssuanceTest, AnotherServersIdentityIsRefused) {
  TestAuthority impostor(io_, "/cluster/east/node/east-2");
  authority_.Close();
  options_.urls = {impostor.url()};
  // It has a certificate below a root that this node trusts.
  options_.trust = dir_.Write("trust.pem", impostor.root());
  Start({Id("a")});
  ASSERT_TRUE(Until([&] { return issuance_->View().node.failures >= 2; }));
  EXPECT_THAT(NotReady(), HasSubstr("not 'spiffe://test.example/ca'"));
  EXPECT_THAT(impostor.requests(), IsEmpty());  // and has not seen the token
  Run(impostor.Stop());
}

TEST_F(IssuanceTest, AnotherRootIsRefused) {
  options_.trust = dir_.Write("trust.pem", ClusterPki().root());
  Start({Id("a")});
  ASSERT_TRUE(Until([&] { return issuance_->View().node.failures >= 2; }));
  EXPECT_THAT(authority_.requests(), IsEmpty());
  EXPECT_THAT(NotReady(), HasSubstr("TLS with 127.0.0.1"));
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

TEST_F(IssuanceTest, TheNextServerIsAskedWhenOneIsAway) {
  const net::HttpsUrl nobody{.host = "127.0.0.1", .port = 1};
  const net::HttpsUrl named{.host = "localhost", .port = authority_.url().port};
  options_.urls = {nobody, named};
  Start({Id("a")});
  EXPECT_TRUE(Until([&] { return Has("a"); }));
}

TEST_F(IssuanceTest, AnAuthorityThatSaysNothingDoesNotHoldUpTheNext) {
  TestAuthority silent(io_);
  silent.silent = true;
  options_.trust = dir_.Write("trust.pem", authority_.root() + silent.root());
  options_.deadlines = {.open = seconds(5), .answer = milliseconds(200)};
  options_.urls = {silent.url(), authority_.url()};
  Start({Id("a")});
  EXPECT_TRUE(Until([&] { return Has("a"); }));
  Stop();
  Run(silent.Stop());
}

TEST_F(IssuanceTest, GarbageIsNoSvid) {
  const std::string types[] = {"application/pkcs7-mime", "text/html"};
  int garbage = 0;
  authority_.intercept = [&](const auto& request) -> std::optional<TestAuthority::Answer> {
    if (request.caller.empty() || request.target == kTrust || garbage >= 6) return std::nullopt;
    ++garbage;
    const std::string bodies[] = {"!", "", std::string(1'000'000, 'A')};
    return TestAuthority::Answer{.type = types[garbage % 2], .body = bodies[garbage % 3]};
  };
  Start({Id("a")});
  ASSERT_TRUE(Until([&] { return garbage >= 5; }));
  EXPECT_FALSE(Has("a"));
  EXPECT_THAT(ErrorOf("a"), Not(IsEmpty()));
  EXPECT_TRUE(Until([&] { return Has("a"); }));
}

TEST_F(IssuanceTest, AGarbageBundleLeavesTheLastGoodOne) {
  Start({Id("a")});
  ASSERT_TRUE(Until([&] { return Has("a"); }));
  authority_.intercept = [](const auto& request) -> std::optional<TestAuthority::Answer> {
    if (request.target != kTrust) return std::nullopt;
    return TestAuthority::Answer{.type = "application/json", .body = "{\"keys\": []}"};
  };
  authority_.Publish(2);
  ASSERT_TRUE(Until([&] { return !issuance_->View().trust_error.ok(); }));
  EXPECT_EQ(issuance_->View().sequence, 2u);  // the request that was held had that
  EXPECT_TRUE(Has("a"));
}

TEST_F(IssuanceTest, AnotherIdentityThanWasAskedForIsOfNoUse) {
  Start({});
  ASSERT_TRUE(Until([&] { return issuance_->NotReady().empty(); }));
  authority_.issue_instead = Id("other").text();
  issuance_->SetWorkloads({Id("a")});
  ASSERT_TRUE(Until([&] { return ErrorOf("a").find("instead of") != std::string::npos; }));
  EXPECT_FALSE(Has("a"));
  EXPECT_EQ(issuance_->store()->Find(Id("other")), nullptr);
}

TEST_F(IssuanceTest, WorkloadsComeAndGo) {
  Start({Id("a")});
  ASSERT_TRUE(Until([&] { return Has("a"); }));
  issuance_->SetWorkloads({Id("b")});
  EXPECT_FALSE(Has("a"));
  EXPECT_TRUE(issuance_->store()->entries().contains(Id("b")));
  EXPECT_TRUE(Until([&] { return Has("b"); }));
  EXPECT_EQ(issuance_->store()->entries().size(), 1u);
}

TEST_F(IssuanceTest, StopsAtOnceWhateverItWaitsFor) {
  Start({Id("a")});
  // The second request for the bundle is held.
  ASSERT_TRUE(Until([&] { return Has("a") && authority_.CountOf(kTrust) == 2; }));
  const MonotonicTime before = std::chrono::steady_clock::now();
  Stop();
  authority_.silent = true;
  authority_.tokens = {"one"};
  Start({Id("a")});
  ASSERT_TRUE(Until([&] { return authority_.CountOf(kEnroll) == 3; }));
  Stop();
  EXPECT_LT(std::chrono::steady_clock::now() - before, seconds(3));
  authority_.silent = false;
}

}  // namespace
}  // namespace tombolo::identity
