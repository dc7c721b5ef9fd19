// SPDX-License-Identifier: Apache-2.0
// A join token pays once.
#include <atomic>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "authority_service_case.h"

namespace tombolo::ca {
namespace {

using ::testing::IsEmpty;

using AuthorityTokensTest = AuthorityServiceCase;

TEST_F(AuthorityTokensTest, ATokenIsAnsweredAgainForTheSameKey) {
  const std::string token = NewToken(kNode);
  const std::string key = *tls::GenerateKey();
  const auto csr = [&] { return *tls::MakeCsr(key, *SpiffeId::Parse(kNode)); };
  const auto first = replica_->Enrol(ByToken(csr(), token));
  ASSERT_TRUE(first.ok()) << first.status();
  ExpectRefused(absl::StatusCode::kUnauthenticated, "used already", ByToken(Csr(kNode), token));
  const auto again = replica_->Enrol(ByToken(csr(), token));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_NE(again->certificates, first->certificates) << "another one, with a number of its own";
}

TEST_F(AuthorityTokensTest, ATokenIsSpentOnce) {
  const std::string token = NewToken(kNode);
  ASSERT_TRUE(replica_->Enrol(ByToken(Csr(kNode), token)).ok());
  ExpectRefused(absl::StatusCode::kUnauthenticated, "used already", ByToken(Csr(kNode), token));
}

TEST_F(AuthorityTokensTest, TwoReplicasSpendATokenOnce) {
  const auto other = NewReplica({});
  for (int round = 0; round < 10; ++round) {
    const std::string token = NewToken(kNode);
    std::atomic<int> issued = 0, refused = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < 8; ++i) {
      threads.emplace_back([&, i] {
        Replica& replica = i % 2 == 0 ? *replica_ : *other;
        const auto enrolled = replica.Enrol(ByToken(Csr(kNode), token));
        if (enrolled.ok()) ++issued;
        if (absl::IsUnauthenticated(enrolled.status())) ++refused;
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(issued, 1);
    EXPECT_EQ(refused, 7);
  }
  EXPECT_THAT(Findings(), IsEmpty());
}

}  // namespace
}  // namespace tombolo::ca
