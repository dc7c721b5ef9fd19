// SPDX-License-Identifier: Apache-2.0
#include "store/etcd_messages.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "store/etcd_client.h"
#include "store/etcd_store.h"

namespace tombolo::ca {
namespace {

using ::testing::HasSubstr;

constexpr char kHeader[] = R"("header":{"cluster_id":"18446744073709551615","revision":"7"})";

TEST(EtcdMessagesTest, AsksAsDocumented) {
  EXPECT_EQ(Encode(EtcdRange{.key = "a"}), R"({"key":"YQ=="})");
  EXPECT_EQ(Encode(EtcdRange{.key = "a", .end = "b", .limit = 5, .revision = 3}),
            R"({"key":"YQ==","range_end":"Yg==","limit":"5","revision":"3"})");
  const Transaction transaction{.conditions = {{"k", 3}}, .puts = {{"k", "v"}}, .deletes = {"d"}};
  EXPECT_EQ(Encode(transaction, "p/"),
            R"({"compare":[{"target":"MOD","result":"EQUAL","key":"cC9r","mod_revision":"3"}],)"
            R"("success":[{"request_put":{"key":"cC9r","value":"dg=="}},)"
            R"({"request_delete_range":{"key":"cC9k"}}]})");
}

TEST(EtcdMessagesTest, ReadsWhatTheGatewayLeavesOut) {
  const auto empty = DecodeRange(absl::StrCat("{", kHeader, "}"));
  ASSERT_TRUE(empty.ok()) << empty.status();
  EXPECT_EQ(empty->cluster, 18446744073709551615U);
  EXPECT_EQ(empty->revision, 7);
  EXPECT_TRUE(empty->entries.empty());
  const auto one = DecodeRange(absl::StrCat(
      "{", kHeader, R"(,"kvs":[{"key":"YQ==","mod_revision":"3"}],"more":true,"count":"9"})"));
  ASSERT_TRUE(one.ok()) << one.status();
  ASSERT_EQ(one->entries.size(), 1);
  EXPECT_EQ(one->entries[0].key, "a");
  EXPECT_EQ(one->entries[0].value, "");
  EXPECT_EQ(one->entries[0].revision, 3);
  EXPECT_TRUE(one->more);
  EXPECT_FALSE(DecodeTxn(absl::StrCat("{", kHeader, "}"))->succeeded);
  EXPECT_TRUE(DecodeTxn(absl::StrCat("{", kHeader, R"(,"succeeded":true})"))->succeeded);
}

TEST(EtcdMessagesTest, RefusesWhatEtcdDoesNotSay) {
  for (const char* body :
       {"", "[]", "{}", "{\"header\":{}}", "{\"header\":{\"cluster_id\":\"1\",\"revision\":7}}",
        "{\"header\":{\"cluster_id\":\"1\",\"revision\":\"-7\"}}",
        "{\"header\":{\"cluster_id\":\"1\",\"revision\":\"99999999999999999999\"}}"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(DecodeRange(body).status())) << body;
    EXPECT_TRUE(absl::IsInvalidArgument(DecodeTxn(body).status())) << body;
  }
  for (const char* rest :
       {R"("kvs":{})", R"("kvs":[1])", R"("kvs":[{"key":"YQ=="}])", R"("more":"yes")",
        R"("kvs":[{"key":"YQ","mod_revision":"3"}])", R"("kvs":[{"key":1,"mod_revision":"3"}])",
        R"("kvs":[{"key":"YQ==","mod_revision":"0"}])"}) {
    const std::string body = absl::StrCat("{", kHeader, ",", rest, "}");
    EXPECT_TRUE(absl::IsInvalidArgument(DecodeRange(body).status())) << body;
  }
  EXPECT_FALSE(DecodeTxn(absl::StrCat("{", kHeader, R"(,"succeeded":1})")).ok());
}

absl::StatusCode CodeFor(int code, absl::string_view message) {
  return EtcdError(503, absl::StrCat(R"({"error":")", message, R"(","message":")", message,
                                     R"(","code":)", code, "}"))
      .code();
}

TEST(EtcdMessagesTest, ErrorsSayWhetherAChangeMayHaveBeenMade) {
  using enum absl::StatusCode;
  EXPECT_EQ(CodeFor(14, "etcdserver: request timed out"), kUnknown);
  EXPECT_EQ(CodeFor(14, "etcdserver: leader changed"), kUnknown);
  EXPECT_EQ(CodeFor(14, "etcdserver: server stopped"), kUnknown);
  EXPECT_EQ(CodeFor(14, "transport is closing"), kUnknown);
  EXPECT_EQ(CodeFor(4, "context deadline exceeded"), kUnknown);
  EXPECT_EQ(CodeFor(8, "etcdserver: mvcc: database space exceeded"), kUnknown);
  EXPECT_EQ(CodeFor(99, "new"), kUnknown);
  EXPECT_EQ(CodeFor(14, "etcdserver: no leader"), kUnavailable);
  EXPECT_EQ(CodeFor(8, "etcdserver: too many requests"), kUnavailable);
  EXPECT_EQ(CodeFor(14, "etcdserver: rpc not supported for learner"), kUnavailable);
  EXPECT_EQ(CodeFor(11, "etcdserver: mvcc: required revision has been compacted"), kUnavailable);
  EXPECT_EQ(CodeFor(8, "grpc: received message larger than max (5 vs. 4)"), kResourceExhausted);
  EXPECT_EQ(CodeFor(3, "etcdserver: request is too large"), kInvalidArgument);
  EXPECT_EQ(CodeFor(16, "etcdserver: invalid auth token"), kPermissionDenied);
  EXPECT_EQ(CodeFor(7, "etcdserver: permission denied"), kPermissionDenied);
  EXPECT_EQ(CodeFor(15, "etcdserver: corrupt cluster"), kDataLoss);
  EXPECT_EQ(EtcdError(502, "<html>").code(), kUnknown);
  EXPECT_EQ(EtcdError(429, "").code(), kUnknown);
  EXPECT_EQ(EtcdError(404, "404 page not found").code(), kFailedPrecondition);
}

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
  EXPECT_FALSE(EtcdStore::Open({.endpoints = {}}).ok());
  EXPECT_FALSE(EtcdStore::Open({.endpoints = {"https://a"}}).ok()) << "no CA";
  EXPECT_FALSE(EtcdStore::Open({.endpoints = {"http://[::1]"}, .prefix = "a b"}).ok());
}

}  // namespace
}  // namespace tombolo::ca
