// SPDX-License-Identifier: Apache-2.0
#include "server/admission.h"

#include <gtest/gtest.h>

namespace tombolo::ca::https {
namespace {

net::IpAddress Ip(const char* text) { return *net::IpAddress::Parse(text); }
SpiffeId Id(const char* path) {
  return *SpiffeId::Parse(std::string("spiffe://test.example") + path);
}

TEST(AdmissionTest, SoManyInAll) {
  const ServerLimits limits{.connections = 2};
  ServerCounters counters;
  Admission admission(limits, counters);
  auto first = admission.Admit(Ip("10.0.0.1"));
  const auto second = admission.Admit(Ip("10.0.0.2"));
  ASSERT_TRUE(first && second);
  EXPECT_EQ(admission.Admit(Ip("10.0.0.3")), nullptr);
  EXPECT_EQ(counters.refused_full, 1U);
  EXPECT_EQ(counters.connections, 2);
  first.reset();
  EXPECT_NE(admission.Admit(Ip("10.0.0.3")), nullptr);
}

TEST(AdmissionTest, SoManyOfAnAddress) {
  const ServerLimits limits{.per_address = 1};
  ServerCounters counters;
  Admission admission(limits, counters);
  auto first = admission.Admit(Ip("10.0.0.1"));
  ASSERT_TRUE(first);
  EXPECT_EQ(admission.Admit(Ip("10.0.0.1")), nullptr);
  EXPECT_NE(admission.Admit(Ip("10.0.0.2")), nullptr);
  EXPECT_EQ(counters.refused_address, 1U);
  EXPECT_EQ(counters.connections, 1);
  first.reset();
  EXPECT_NE(admission.Admit(Ip("10.0.0.1")), nullptr);
}

TEST(AdmissionTest, AnIpv6NetworkIsOneAddress) {
  const ServerLimits limits{.per_address = 1};
  ServerCounters counters;
  Admission admission(limits, counters);
  const auto first = admission.Admit(Ip("fd00::1"));
  ASSERT_TRUE(first);
  EXPECT_EQ(admission.Admit(Ip("fd00::2")), nullptr);
  EXPECT_NE(admission.Admit(Ip("fd00:0:0:1::1")), nullptr);
}

TEST(AdmissionTest, AnIdentityFreesItsAddressAndHasALimitOfItsOwn) {
  const ServerLimits limits{.per_address = 1, .per_identity = 1};
  ServerCounters counters;
  Admission admission(limits, counters);
  auto first = admission.Admit(Ip("10.0.0.1"));
  ASSERT_TRUE(first && first->Identify(Id("/a")));
  const auto second = admission.Admit(Ip("10.0.0.1"));
  ASSERT_TRUE(second);
  EXPECT_FALSE(second->Identify(Id("/a")));
  EXPECT_EQ(counters.refused_identity, 1U);
  EXPECT_EQ(admission.Admit(Ip("10.0.0.1")), nullptr) << "what was refused is the address's still";
  first.reset();
  EXPECT_TRUE(second->Identify(Id("/a")));
}

}  // namespace
}  // namespace tombolo::ca::https
