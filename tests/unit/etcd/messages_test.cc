// SPDX-License-Identifier: Apache-2.0
#include "etcd/messages.h"

#include <string>

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace tombolo::etcd {
namespace {

constexpr char kHeader[] = R"("header":{"cluster_id":"18446744073709551615","revision":"7"})";

TEST(EtcdMessagesTest, AsksAsDocumented) {
  EXPECT_EQ(Encode(RangeRequest{.key = "a"}), R"({"key":"YQ=="})");
  EXPECT_EQ(Encode(RangeRequest{.key = "a", .end = "b", .limit = 5, .revision = 3}),
            R"({"key":"YQ==","range_end":"Yg==","limit":"5","revision":"3"})");
  const Txn txn{.compares = {{.key = "p/k", .number = 3}},
                .then = {Operation::Put("p/k", "v"), Operation::Delete("p/d")}};
  EXPECT_EQ(Encode(txn),
            R"({"compare":[{"target":"MOD","result":"EQUAL","key":"cC9r","mod_revision":"3"}],)"
            R"("success":[{"request_put":{"key":"cC9r","value":"dg=="}},)"
            R"({"request_delete_range":{"key":"cC9k"}}]})");
  const Txn election{.compares = {{.key = "a", .target = Compare::Target::kCreateRevision},
                                  {.key = "a",
                                   .target = Compare::Target::kValue,
                                   .result = Compare::Result::kNotEqual,
                                   .value = "v"},
                                  {.key = "a",
                                   .target = Compare::Target::kVersion,
                                   .result = Compare::Result::kLess,
                                   .number = 7},
                                  {.key = "a",
                                   .target = Compare::Target::kLease,
                                   .result = Compare::Result::kGreater,
                                   .number = 7}},
                     .then = {Operation::Put("a", "v", 7)},
                     .otherwise = {Operation::Range("a", "b")}};
  EXPECT_EQ(
      Encode(election),
      R"({"compare":[{"target":"CREATE","result":"EQUAL","key":"YQ==","create_revision":"0"},)"
      R"({"target":"VALUE","result":"NOT_EQUAL","key":"YQ==","value":"dg=="},)"
      R"({"target":"VERSION","result":"LESS","key":"YQ==","version":"7"},)"
      R"({"target":"LEASE","result":"GREATER","key":"YQ==","lease":"7"}],)"
      R"("success":[{"request_put":{"key":"YQ==","value":"dg==","lease":"7"}}],)"
      R"("failure":[{"request_range":{"key":"YQ==","range_end":"Yg=="}}]})");
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
  EXPECT_EQ(one->entries[0].mod_revision, 3);
  EXPECT_TRUE(one->more);
  EXPECT_FALSE(DecodeTxn(absl::StrCat("{", kHeader, "}"))->succeeded);
  EXPECT_TRUE(DecodeTxn(absl::StrCat("{", kHeader, R"(,"succeeded":true})"))->succeeded);
  const auto ranges = DecodeTxn(absl::StrCat(
      "{", kHeader, R"(,"responses":[{"response_put":{}},{"response_range":{"kvs":)",
      R"([{"key":"YQ==","value":"dg==","create_revision":"2","mod_revision":"3","version":"2","lease":"9"}]}}]})"));
  ASSERT_TRUE(ranges.ok()) << ranges.status();
  ASSERT_EQ(ranges->ranges.size(), 2);
  EXPECT_TRUE(ranges->ranges[0].empty());
  ASSERT_EQ(ranges->ranges[1].size(), 1);
  EXPECT_EQ(ranges->ranges[1][0].create_revision, 2);
  EXPECT_EQ(ranges->ranges[1][0].version, 2);
  EXPECT_EQ(ranges->ranges[1][0].lease, 9);
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
        R"("kvs":[{"key":"YQ==","mod_revision":"0"}])",
        R"("kvs":[{"key":"YQ==","mod_revision":"3","lease":"-1"}])"}) {
    const std::string body = absl::StrCat("{", kHeader, ",", rest, "}");
    EXPECT_TRUE(absl::IsInvalidArgument(DecodeRange(body).status())) << body;
  }
  EXPECT_FALSE(DecodeTxn(absl::StrCat("{", kHeader, R"(,"succeeded":1})")).ok());
}

absl::StatusCode CodeFor(int code, absl::string_view message) {
  return ErrorOf(503, absl::StrCat(R"({"error":")", message, R"(","message":")", message,
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
  EXPECT_EQ(CodeFor(16, "etcdserver: invalid auth token"), kUnauthenticated);
  EXPECT_EQ(CodeFor(7, "etcdserver: permission denied"), kPermissionDenied);
  EXPECT_EQ(CodeFor(3, "etcdserver: user name is empty"), kUnauthenticated);
  EXPECT_EQ(CodeFor(3, "etcdserver: revision of auth store is old"), kUnauthenticated);
  EXPECT_EQ(CodeFor(5, "etcdserver: requested lease not found"), kNotFound);
  EXPECT_EQ(CodeFor(9, "etcdserver: user name already exists"), kAlreadyExists);
  EXPECT_EQ(CodeFor(9, "etcdserver: role name not found"), kNotFound);
  EXPECT_EQ(CodeFor(9, "etcdserver: authentication is not enabled"), kFailedPrecondition);
  EXPECT_EQ(CodeFor(0, "fine"), kUnknown);
  EXPECT_EQ(CodeFor(15, "etcdserver: corrupt cluster"), kDataLoss);
  EXPECT_EQ(ErrorOf(502, "<html>").code(), kUnknown);
  EXPECT_EQ(ErrorOf(429, "").code(), kUnknown);
  EXPECT_EQ(ErrorOf(404, "404 page not found").code(), kFailedPrecondition);
}

TEST(EtcdMessagesTest, PrefixesEndBehindTheirKeys) {
  EXPECT_EQ(PrefixEnd("a/"), "a0");
  EXPECT_EQ(PrefixEnd("a\xff\xff"), "b");
  EXPECT_EQ(PrefixEnd(""), std::string(1, '\0'));
  EXPECT_EQ(PrefixEnd("\xff"), std::string(1, '\0'));
}

}  // namespace
}  // namespace tombolo::etcd
