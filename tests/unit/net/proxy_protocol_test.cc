// SPDX-License-Identifier: Apache-2.0
// Byte for byte as the specification lays it out.
#include "net/proxy_protocol.h"

#include <string>

#include <gtest/gtest.h>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace tombolo::net {
namespace {

// \r\n\r\n\0\r\nQUIT\n, version 2, PROXY.
constexpr char kBegin[] = "0d0a0d0a000d0a515549540a21";

SocketAddress At(const char* text) { return *SocketAddress::Parse(text); }

std::string Encoded(const ProxyHeader& header) {
  return absl::BytesToHexString(EncodeProxyV2(header));
}

TEST(ProxyProtocolTest, Ipv4) {
  EXPECT_EQ(Encoded({.source = At("10.0.0.10:43210"), .destination = At("10.96.0.12:80")}),
            absl::StrCat(kBegin, "11", "000c", "0a00000a", "0a60000c", "a8ca", "0050"));
}

TEST(ProxyProtocolTest, Ipv6) {
  EXPECT_EQ(Encoded({.source = At("[fd00:10::1]:258"), .destination = At("[fd00:96::c]:443")}),
            absl::StrCat(kBegin, "21", "0024", "fd000010000000000000000000000001",
                         "fd00009600000000000000000000000c", "0102", "01bb"));
}

// The TLV's length, and the header's, are of what follows them.
TEST(ProxyProtocolTest, TheSpiffeIdIsATlv) {
  EXPECT_EQ(Encoded({.source = At("10.0.0.10:1"),
                     .destination = At("10.96.0.12:2"),
                     .spiffe_id = "spiffe://a/b"}),
            absl::StrCat(kBegin, "11", "001b", "0a00000a", "0a60000c", "0001", "0002", "d0", "000c",
                         absl::BytesToHexString("spiffe://a/b")));
  const std::string longest(2048, 'x');
  const std::string encoded = EncodeProxyV2(
      {.source = At("10.0.0.10:1"), .destination = At("10.0.0.1:2"), .spiffe_id = longest});
  EXPECT_EQ(encoded.size(), 16u + 12 + 3 + 2048);
  EXPECT_EQ(absl::BytesToHexString(encoded.substr(14, 2)), "080f");
  EXPECT_EQ(absl::BytesToHexString(encoded.substr(28, 3)), "d00800");
}

TEST(ProxyProtocolTest, ADifferentFamilyMakesBothIpv6) {
  EXPECT_EQ(Encoded({.source = At("10.0.0.10:1"), .destination = At("[fd00::1]:2")}),
            absl::StrCat(kBegin, "21", "0024", "00000000000000000000ffff0a00000a",
                         "fd000000000000000000000000000001", "0001", "0002"));
}

// Still PROXY, and no LOCAL, which would say that nobody else is behind it.
TEST(ProxyProtocolTest, AnUnknownSourceIsUnspecified) {
  EXPECT_EQ(Encoded({.destination = At("10.0.0.1:2")}), absl::StrCat(kBegin, "00", "0000"));
  EXPECT_EQ(Encoded({.destination = At("10.0.0.1:2"), .spiffe_id = "x"}),
            absl::StrCat(kBegin, "00", "0004", "d0000178"));
}

}  // namespace
}  // namespace tombolo::net
