// SPDX-License-Identifier: Apache-2.0
#include "etcd/endpoint.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tombolo::etcd {
namespace {

using ::testing::HasSubstr;

TEST(EtcdEndpointTest, Parses) {
  const auto named = ParseEndpoint("https://etcd-0.example:1234/");
  ASSERT_TRUE(named.ok()) << named.status();
  EXPECT_EQ(named->host, "etcd-0.example");
  EXPECT_EQ(named->port, 1234);
  EXPECT_EQ(named->authority, "etcd-0.example:1234");
  EXPECT_TRUE(named->tls);
  const auto numeric = ParseEndpoint("http://[::1]");
  ASSERT_TRUE(numeric.ok()) << numeric.status();
  EXPECT_EQ(numeric->host, "::1");
  EXPECT_EQ(numeric->authority, "[::1]:2379");
  EXPECT_TRUE(ParseEndpoint("http://[::1]:5").ok());
  EXPECT_TRUE(ParseEndpoint("http://127.0.0.1:5").ok());
  EXPECT_TRUE(ParseEndpoint("http://localhost:5").ok());
  EXPECT_TRUE(ParseEndpoint("https://10.0.0.1").ok());
}

TEST(EtcdEndpointTest, Refuses) {
  for (const char* url : {"", "etcd:2379", "ftp://a", "https://", "https://:1", "https://a:0",
                          "https://a:70000", "https://a:b", "https://a/path", "https://a b",
                          "https://[::1", "https://::1", "https://a:1\r\nX: y", "https://user@a"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParseEndpoint(url).status())) << url;
  }
  EXPECT_THAT(std::string(ParseEndpoint("http://10.0.0.1:2379").status().message()),
              HasSubstr("use https://"));
}

}  // namespace
}  // namespace tombolo::etcd
