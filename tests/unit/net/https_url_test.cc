// SPDX-License-Identifier: Apache-2.0
#include "net/https_url.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tombolo::net {
namespace {

using testing::HasSubstr;

TEST(HttpsUrlTest, NamesAndAddresses) {
  const struct {
    const char* text;
    HttpsUrl url;
    const char* shown;
  } kGood[] = {
      {"https://ca.example", {"ca.example", 443}, "https://ca.example:443"},
      {"https://ca_1.tombolo-system.svc.:8443/", {"ca_1.tombolo-system.svc.", 8443}, nullptr},
      {"https://10.0.0.1:8443", {"10.0.0.1", 8443}, "https://10.0.0.1:8443"},
      {"https://[fd00::1]:1", {"fd00::1", 1}, "https://[fd00::1]:1"},
      {"https://[::1]", {"::1", 443}, "https://[::1]:443"},
  };
  for (const auto& good : kGood) {
    const auto url = HttpsUrl::Parse(good.text);
    ASSERT_TRUE(url.ok()) << url.status();
    EXPECT_EQ(*url, good.url) << good.text;
    if (good.shown != nullptr) {
      EXPECT_EQ(url->ToString(), good.shown);
    }
  }
}

TEST(HttpsUrlTest, EverythingElseIsQuoted) {
  for (const char* bad : {"",
                          "https://",
                          "https:///",
                          "http://ca.example",
                          "ca.example:443",
                          "HTTPS://ca.example",
                          "https://ca.example/path",
                          "https://ca.example?x",
                          "https://u@ca.example",
                          "https://ca:",
                          "https://ca:0",
                          "https://ca:65536",
                          "https://ca:+1",
                          "https://ca:1:2",
                          "https://a..b",
                          "https://fd00::1",
                          "https://[10.0.0.1]:1",
                          "https://[fd00::1",
                          "https://[fd00::1]1",
                          "https://[]",
                          "https://c a",
                          "https://ca.example#x"}) {
    const auto url = HttpsUrl::Parse(bad);
    ASSERT_TRUE(absl::IsInvalidArgument(url.status())) << bad;
    EXPECT_THAT(std::string(url.status().message()), HasSubstr("'" + std::string(bad) + "'"));
  }
  EXPECT_FALSE(HttpsUrl::Parse("https://" + std::string(64, 'a')).ok());
  EXPECT_FALSE(HttpsUrl::Parse(std::string("https://a\0b", 11)).ok());
}

}  // namespace
}  // namespace tombolo::net
