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

TEST(AdmissionTest, StrangersLeaveRoomForWhoeverIsKnown) {
  const ServerLimits limits{.connections = 4, .strangers = 2};
  ServerCounters counters;
  Admission admission(limits, counters);
  auto node = admission.Admit(Ip("10.0.0.1"));
  ASSERT_TRUE(node && node->Identify(Id("/a")));
  const auto stranger = admission.Admit(Ip("10.0.0.2"));
  auto other = admission.Admit(Ip("10.0.0.3"));
  ASSERT_TRUE(stranger && other);
  EXPECT_EQ(admission.Admit(Ip("10.0.0.4")), nullptr) << "there is room, but not for it";
  EXPECT_EQ(counters.refused_nameless, 1U);
  EXPECT_EQ(counters.refused_full, 0U);
  ASSERT_TRUE(other->Identify(Id("/b")));
  auto last = admission.Admit(Ip("10.0.0.4"));
  ASSERT_TRUE(last) << "who is known is no stranger";
  EXPECT_EQ(admission.Admit(Ip("10.0.0.5")), nullptr);
  EXPECT_EQ(counters.refused_full, 1U);
  node.reset();
  EXPECT_EQ(admission.Admit(Ip("10.0.0.5")), nullptr);
  last.reset();
  EXPECT_NE(admission.Admit(Ip("10.0.0.5")), nullptr);
}

TEST(AdmissionTest, WhoRemainsNamelessLeavesRoomForHandshakes) {
  const ServerLimits limits{.connections = 4, .strangers = 4, .nameless = 1};
  ServerCounters counters;
  Admission admission(limits, counters);
  auto first = admission.Admit(Ip("10.0.0.1"));
  const auto second = admission.Admit(Ip("10.0.0.1"));
  ASSERT_TRUE(first && second);
  EXPECT_TRUE(first->StayNameless());
  EXPECT_FALSE(second->StayNameless());
  EXPECT_EQ(counters.refused_nameless, 1U);
  EXPECT_TRUE(second->Identify(Id("/a")));
  const auto third = admission.Admit(Ip("10.0.0.1"));
  ASSERT_TRUE(third);
  first.reset();
  EXPECT_TRUE(third->StayNameless());
}

}  // namespace
}  // namespace tombolo::ca::https
