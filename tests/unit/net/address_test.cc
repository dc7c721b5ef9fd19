// SPDX-License-Identifier: Apache-2.0
#include "net/address.h"

#include <netinet/in.h>

#include <cstring>
#include <string>

#include <gtest/gtest.h>

namespace tombolo::net {
namespace {

IpAddress Ip(absl::string_view text) { return *IpAddress::Parse(text); }

TEST(IpAddressTest, KeepsBothFamiliesInOneForm) {
  EXPECT_TRUE(Ip("10.0.0.1").is_v4());
  EXPECT_EQ(Ip("10.0.0.1").ToString(), "10.0.0.1");
  EXPECT_EQ(Ip("10.0.0.1"), Ip("::ffff:10.0.0.1"));
  EXPECT_FALSE(Ip("fd00::1").is_v4());
  EXPECT_EQ(Ip("FD00:0:0::1").ToString(), "fd00::1");
}

TEST(IpAddressTest, RefusesWhatIsNotAnAddress) {
  for (const char* text : {"", "10.0.0", "10.0.0.256", "10.0.0.01", " 10.0.0.1", "10.0.0.1 ",
                           "10.0.0.1:80", "[fd00::1]", "fe80::1%eth0", "localhost", ":::"}) {
    EXPECT_FALSE(IpAddress::Parse(text).ok()) << text;
  }
  EXPECT_FALSE(IpAddress::Parse(absl::string_view("10.0.0.1\0junk", 13)).ok());
}

TEST(IpAddressTest, KnowsSpecialAddresses) {
  EXPECT_TRUE(Ip("127.0.0.1").is_loopback());
  EXPECT_TRUE(Ip("127.255.0.9").is_loopback());
  EXPECT_TRUE(Ip("::1").is_loopback());
  EXPECT_FALSE(Ip("128.0.0.1").is_loopback());
  EXPECT_FALSE(Ip("::2").is_loopback());
  EXPECT_TRUE(Ip("0.0.0.0").is_unspecified());
  EXPECT_TRUE(Ip("::").is_unspecified());
  EXPECT_FALSE(Ip("0.0.0.1").is_unspecified());
}

TEST(SocketAddressTest, ParsesWhatItPrints) {
  for (const char* text : {"10.0.0.1:80", "[fd00::1]:65535", "0.0.0.0:0", "[::]:15008"}) {
    const auto address = SocketAddress::Parse(text);
    ASSERT_TRUE(address.ok()) << address.status();
    EXPECT_EQ(address->ToString(), text);
  }
}

TEST(SocketAddressTest, RefusesWhatIsUnclear) {
  for (const char* text : {"", ":80", "10.0.0.1", "10.0.0.1:", "10.0.0.1:65536", "10.0.0.1:-1",
                           "10.0.0.1:+80", "10.0.0.1: 80", "fd00::1:80", "[10.0.0.1]:80",
                           "[fd00::1]", "[fd00::1]80", "host:80", "10.0.0.1:000080"}) {
    EXPECT_FALSE(SocketAddress::Parse(text).ok()) << text;
  }
}

TEST(SocketAddressTest, SurvivesTheKernelsForm) {
  for (const char* text : {"10.0.0.1:80", "[fd00::1]:443"}) {
    const SocketAddress address = *SocketAddress::Parse(text);
    sockaddr_storage storage;
    const socklen_t size = address.ToSockaddr(storage);
    EXPECT_EQ(storage.ss_family, address.ip.is_v4() ? AF_INET : AF_INET6);
    EXPECT_EQ(size, address.ip.is_v4() ? sizeof(sockaddr_in) : sizeof(sockaddr_in6));
    EXPECT_EQ(SocketAddress::FromSockaddr(storage), address);
  }
}

TEST(PrefixTest, CountsBitsOfTheSixteenByteForm) {
  EXPECT_EQ(Prefix::Parse("10.0.0.0/8")->length, 104);
  EXPECT_EQ(Prefix::Parse("10.0.0.0/8")->ToString(), "10.0.0.0/8");
  EXPECT_EQ(Prefix::Parse("fd00::/8")->length, 8);
  EXPECT_EQ(Prefix::Parse("0.0.0.0/0")->ToString(), "0.0.0.0/0");
  EXPECT_EQ(Prefix::Parse("::1/128")->ToString(), "::1/128");
}

TEST(PrefixTest, RefusesWhatIsNotARange) {
  for (const char* text : {"", "10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.1/8", "fd00::/129",
                           "fd00::1/64", "10.0.0.0/-8", "10.0.0.0/8/8", "/8"}) {
    EXPECT_FALSE(Prefix::Parse(text).ok()) << text;
  }
}

TEST(PrefixTest, ContainsItsAddressesOnly) {
  const Prefix ten = *Prefix::Parse("10.96.0.0/13");
  EXPECT_TRUE(ten.Contains(Ip("10.96.0.0")));
  EXPECT_TRUE(ten.Contains(Ip("10.103.255.255")));
  EXPECT_FALSE(ten.Contains(Ip("10.104.0.0")));
  EXPECT_FALSE(ten.Contains(Ip("10.95.255.255")));
  EXPECT_FALSE(ten.Contains(Ip("::")));
  EXPECT_TRUE(Prefix::Parse("0.0.0.0/0")->Contains(Ip("1.2.3.4")));
  EXPECT_FALSE(Prefix::Parse("0.0.0.0/0")->Contains(Ip("fd00::1")));
}

}  // namespace
}  // namespace tombolo::net
