// SPDX-License-Identifier: Apache-2.0
#include "source/directory_records.h"

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "source/directory_keys.h"
#include "source/values.h"

namespace tombolo::source {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using Kind = DirectoryKey::Kind;

constexpr char kKey[] = "clusters/west/services/shop/web";
constexpr char kService[] = R"({"ports":[{"port":80,"backends":[{"identity":)"
                            R"("spiffe://td/cluster/west/ns/shop/sa/web",)"
                            R"("endpoints":3,"ready":2,"weight":4}]}]})";

std::string Why(const absl::Status& status) { return std::string(status.message()); }

TEST(DirectoryKeysTest, EachIsReadAsItIsWritten) {
  const std::vector<DirectoryKey> keys = {
      {.kind = Kind::kClusterGrant, .cluster = "west"},
      {.kind = Kind::kNamespaceGrant, .ns = "shop"},
      {.kind = Kind::kCluster, .cluster = "west"},
      {.kind = Kind::kGateway, .cluster = "west", .name = "west-gw-1"},
      {.kind = Kind::kService, .cluster = "west", .ns = "shop", .name = "web"},
      {.kind = Kind::kVips, .cluster = "west", .ns = "shop", .name = "web"},
      {.kind = Kind::kPublisher, .cluster = "west"}};
  for (const DirectoryKey& key : keys) {
    const auto parsed = ParseDirectoryKey(key.Text());
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(*parsed, key);
  }
  EXPECT_EQ(keys[4].Text(), kKey);
}

TEST(DirectoryKeysTest, RefusesWhatIsNone) {
  const std::string long_key = absl::StrCat("admin/clusters/", std::string(600, 'a'));
  for (const absl::string_view key :
       {"", "/", "admin/clusters", "admin/clusters/", "admin/clusters/a/b", "admin/other/a",
        "clusters/west", "clusters/west/gateways/", "clusters//gateways/a",
        "clusters/west/routing/x", "clusters/west/services/shop",
        "clusters/west/services/shop/web/80", "clusters/west/services/../web",
        "clusters/We st/cluster", "/clusters/west/cluster", "clusters/west/cluster/",
        long_key.c_str()}) {
    const auto parsed = ParseDirectoryKey(key);
    EXPECT_FALSE(parsed.ok()) << key;
    EXPECT_THAT(Why(parsed.status()), HasSubstr(absl::StrCat("'", key.substr(0, 200), "'")));
  }
}

TEST(DirectoryKeysTest, TheWriterIsWhomPermissionsAreGiven) {
  EXPECT_EQ(WriterOf("clusters/west/anything/at all"), "west");
  EXPECT_EQ(WriterOf("clusters/west"), "");
  EXPECT_EQ(WriterOf("admin/clusters/west"), "");
}

TEST(DirectoryRecordsTest, AreReadAsTheyAreWritten) {
  const ClusterGrant cluster{
      .gateways = {*net::Prefix::Parse("203.0.113.0/24"), *net::Prefix::Parse("2001:db8::/64")},
      .draining = true};
  EXPECT_EQ(*DecodeClusterGrant(kKey, Encode(cluster)), cluster);
  ClusterGrant ending = cluster;
  ending.deadline = *ParseTime("2026-01-31T12:00:00Z");
  EXPECT_EQ(*DecodeClusterGrant(kKey, Encode(ending)), ending);
  const NamespaceGrant ns{.clusters = {"east", "west"}};
  EXPECT_EQ(*DecodeNamespaceGrant(kKey, Encode(ns)), ns);
  EXPECT_EQ(*DecodeCluster(kKey, Encode(ClusterRecord{"eu-west"})), ClusterRecord{"eu-west"});
  EXPECT_EQ(*DecodeCluster(kKey, Encode(ClusterRecord{})), ClusterRecord{});
  const GatewayRecord gateway{*net::SocketAddress::Parse("[2001:db8::1]:15443"), "a"};
  EXPECT_EQ(*DecodeGateway(kKey, Encode(gateway)), gateway);
  const GatewayRecord linked{.zone = "a", .via = "east"};
  EXPECT_EQ(*DecodeGateway(kKey, Encode(linked)), linked);
  const ClusterGrant hidden{.via = {"east", "north"}};
  EXPECT_EQ(*DecodeClusterGrant(kKey, Encode(hidden)), hidden);
  const VipsRecord vips{{*net::IpAddress::Parse("10.112.0.7")}, 1764288000};
  EXPECT_EQ(*DecodeVips(kKey, Encode(vips)), vips);
  EXPECT_EQ(*DecodePublisher(kKey, Encode(PublisherRecord{"west-gw-1"})),
            PublisherRecord{"west-gw-1"});
  const auto service = DecodeService(kKey, kService);
  ASSERT_TRUE(service.ok()) << service.status();
  EXPECT_EQ(service->ports.at(0).backends.at(0).endpoints, 3u);
  EXPECT_EQ(Encode(*service), kService);
}

TEST(DirectoryRecordsTest, ErrorsNameKeyFieldAndValue) {
  const auto bad = DecodeGateway("clusters/west/gateways/g", R"({"address": "127.0.0.1:15443"})");
  EXPECT_EQ(bad.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Why(bad.status()), AllOf(HasSubstr("clusters/west/gateways/g"), HasSubstr("address"),
                                       HasSubstr("'127.0.0.1:15443' is a loopback address")));
}

TEST(DirectoryRecordsTest, AGatewayIsDialledOrLinked) {
  const auto both = DecodeGateway(kKey, R"({"address":"192.0.2.1:15443","via":"east"})");
  EXPECT_THAT(Why(both.status()), HasSubstr("unknown field 'address'"));
  EXPECT_THAT(Why(DecodeGateway(kKey, "{}").status()), HasSubstr("'address' is missing"));
  EXPECT_THAT(Why(DecodeGateway(kKey, R"({"via":""})").status()), HasSubstr("'via'"));
}

// What a record of another cluster could be changed to, and what the error has to name.
TEST(DirectoryRecordsTest, AServiceMayBeNothingElse) {
  const std::vector<std::pair<std::vector<std::pair<const char*, const char*>>, const char*>>
      cases = {
          {{{R"({"ports")", R"({"vips":["10.0.0.1"],"ports")"}}, "unknown field 'vips'"},
          {{{R"("port":80)", R"("port":80,"routing_id":"00112233445566778899aabbccddeeff")"}},
           "unknown field 'routing_id'"},
          {{{R"("ready":2)", R"("ready":2,"address":"10.0.0.1:80")"}}, "unknown field 'address'"},
          {{{R"("port":80)", R"("port":0)"}}, "'port' is 0"},
          {{{R"("port":80)", R"("port":"80")"}}, "'port' is not a whole number"},
          {{{R"("port":80)", R"("port":80.5)"}}, "'port' is not a whole number"},
          {{{R"("port":80,)", ""}}, "'port' is missing"},
          {{{R"("endpoints":3)", R"("endpoints":0)"}}, "'endpoints' is 0"},
          {{{R"("endpoints":3)", R"("endpoints":4294967297)"}}, "'endpoints' is 4294967297"},
          {{{R"("ready":2)", R"("ready":4)"}}, "'ready' is 4"},
          {{{R"("ready":2)", R"("ready":-1)"}}, "'ready' is -1"},
          {{{R"("weight":4)", R"("weight":0)"}}, "'weight' is 0"},
          {{{R"("weight":4)", R"("weight":131071)"}}, "'weight' is 131071"},
          {{{"spiffe://", "http://"}}, "does not begin with spiffe://"},
          {{{R"("ports":[{)", R"("ports":[{"port":80,"backends":[]},{)"}}, "80 is there twice"},
          {{{R"("backends":[)",
             R"("backends":[{"identity":"spiffe://td/cluster/west/ns/shop/sa/web",)"
             R"("endpoints":1,"ready":1,"weight":1},)"}},
           "'spiffe://td/cluster/west/ns/shop/sa/web' is there twice"},
          {{{"}]}]}", "}]}]"}}, "not JSON"},
          {{{"}]}]}", "}]}]}{}"}}, "not JSON"}};
  for (const auto& [changes, why] : cases) {
    const std::string text = absl::StrReplaceAll(kService, changes);
    ASSERT_NE(text, kService);
    const auto decoded = DecodeService(kKey, text);
    EXPECT_EQ(decoded.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(Why(decoded.status()), AllOf(HasSubstr(kKey), HasSubstr(why))) << text;
  }
  for (const char* text : {"", "[]", "null", "1", "{}", R"({"ports":{}})", R"({"ports":[1]})"}) {
    EXPECT_FALSE(DecodeService(kKey, text).ok()) << text;
  }
}

TEST(DirectoryRecordsTest, MoreThanTheLimitsIsRefused) {
  ServiceRecord record;
  record.ports.resize(DirectoryLimits::kPortsOfService);
  for (std::size_t i = 0; i < record.ports.size(); ++i) {
    record.ports[i].port = static_cast<std::uint16_t>(i + 1);
  }
  EXPECT_TRUE(DecodeService(kKey, Encode(record)).ok());
  record.ports.push_back({.port = 60000});
  EXPECT_THAT(Why(DecodeService(kKey, Encode(record)).status()), HasSubstr("'ports' has 65"));

  record.ports = {{.port = 80}};
  for (std::size_t i = 0; i <= DirectoryLimits::kBackendsOfPort; ++i) {
    record.ports[0].backends.push_back(
        {.identity = *SpiffeId::ForWorkload("td", "west", "shop", absl::StrCat("sa", i))});
  }
  EXPECT_THAT(Why(DecodeService(kKey, Encode(record)).status()), HasSubstr("'backends' has 257"));
  record.ports[0].backends.pop_back();
  EXPECT_TRUE(DecodeService(kKey, Encode(record)).ok());

  const std::string padded =
      absl::StrCat(kService, std::string(DirectoryLimits::kRecordBytes - strlen(kService), ' '));
  EXPECT_TRUE(DecodeService(kKey, padded).ok());
  EXPECT_THAT(Why(DecodeService(kKey, absl::StrCat(padded, " ")).status()), HasSubstr("bytes"));
  const std::string deep = absl::StrCat(R"({"ports":)", std::string(10'000, '['));
  EXPECT_FALSE(DecodeService(kKey, deep).ok());
}

TEST(DirectoryRecordsTest, ValuesThatCannotBeAreRefused) {
  EXPECT_FALSE(DecodeClusterGrant(kKey, R"({"gateways":["203.0.113.1/24"]})").ok());
  EXPECT_FALSE(DecodeClusterGrant(kKey, R"({"gateways":["10.0.0.0/8","10.0.0.0/8"]})").ok());
  EXPECT_FALSE(DecodeClusterGrant(kKey, R"({"draining":true})").ok());
  EXPECT_FALSE(
      DecodeClusterGrant(kKey, R"({"gateways":[],"draining":true,"deadline":"soon"})").ok());
  EXPECT_THAT(Why(DecodeClusterGrant(kKey, R"({"gateways":[],"deadline":"2026-01-31T12:00:00Z"})")
                      .status()),
              HasSubstr("'deadline' is of a cluster that is not draining"));
  EXPECT_FALSE(DecodeClusterGrant(kKey, R"({"gateways":[],"draining":1})").ok());
  EXPECT_FALSE(DecodeNamespaceGrant(kKey, R"({"clusters":["East"]})").ok());
  EXPECT_FALSE(DecodeNamespaceGrant(kKey, R"({"clusters":"east"})").ok());
  EXPECT_FALSE(DecodeCluster(kKey, R"({"region":""})").ok());
  for (const char* address : {"0.0.0.0:1", "224.0.0.1:1", "255.255.255.255:1", "[ff02::1]:1",
                              "[::]:1", "[::1]:1", "203.0.113.1:0", "203.0.113.1", "gw:443"}) {
    EXPECT_FALSE(DecodeGateway(kKey, Encode(GatewayRecord{})).ok());
    EXPECT_FALSE(DecodeGateway(kKey, absl::StrCat(R"({"address":")", address, R"("})")).ok())
        << address;
  }
  EXPECT_FALSE(DecodeVips(kKey, R"({"vips":["127.0.0.1"]})").ok());
  EXPECT_FALSE(DecodeVips(kKey, R"({"vips":["10.0.0.1"],"unused_since":-5})").ok());
  EXPECT_FALSE(DecodePublisher(kKey, R"({"gateway":""})").ok());
}

}  // namespace
}  // namespace tombolo::source
