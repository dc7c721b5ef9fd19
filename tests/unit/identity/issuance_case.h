// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <csignal>
#include <exception>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "identity/issuance.h"
#include "testing/test_authority.h"
#include "unit/source/temp_dir.h"

namespace tombolo::identity {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ClusterPki;
using testing::TestAuthority;

inline constexpr char kEnroll[] = "/simpleenroll";
inline constexpr char kReenroll[] = "/simplereenroll";
inline constexpr char kTrust[] = "/v1/trust";
inline constexpr char kPublicTrust[] = "/spiffe/bundle";

// A node's Issuance and an authority over TLS, on one thread.
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
                     .min_retry = milliseconds(20),
                     .min_renewal = milliseconds(20)};
    options_.public_poll = milliseconds(50);
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
    issuance_->Run([this] {
      ++changes_;
      if (on_change_) on_change_();
    });
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
  std::function<void()> on_change_;
};

}  // namespace tombolo::identity
