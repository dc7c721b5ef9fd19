// SPDX-License-Identifier: Apache-2.0
#include "server/request.h"

#include <gtest/gtest.h>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "tls/csr.h"
#include "tls/pkcs7.h"

namespace tombolo::ca::https {
namespace {

using std::chrono::seconds;

TEST(RequestTargetTest, KnowsThePathsOfTheAuthority) {
  const std::pair<const char*, Resource> paths[] = {
      {"/.well-known/est/cacerts", Resource::kCaCerts},
      {"/.well-known/est/csrattrs", Resource::kCsrAttrs},
      {"/.well-known/est/simpleenroll", Resource::kEnroll},
      {"/.well-known/est/simplereenroll", Resource::kReenroll},
      {"/.well-known/spiffe/bundle", Resource::kBundle},
      {"/v1/trust", Resource::kTrust},
  };
  for (const auto& [path, resource] : paths) {
    const auto target = ParseTarget(path);
    ASSERT_TRUE(target) << path;
    EXPECT_EQ(target->resource, resource) << path;
  }
}

TEST(RequestTargetTest, CrlsAreNamedByTheirKey) {
  const std::string key(64, 'a');
  const auto target = ParseTarget("/crl/" + key + ".crl");
  ASSERT_TRUE(target);
  EXPECT_EQ(target->resource, Resource::kCrl);
  EXPECT_EQ(target->key, key);
  for (const std::string& bad : {std::string(63, 'a'), std::string(65, 'a'), std::string(64, 'A'),
                                 std::string(64, 'g'), std::string()}) {
    EXPECT_FALSE(ParseTarget("/crl/" + bad + ".crl")) << bad;
  }
  EXPECT_FALSE(ParseTarget("/crl/" + key));
}

TEST(RequestTargetTest, IsStrict) {
  for (const char* bad :
       {"", "/", "*", "/v1/trust/", "/v1/trust?x", "//v1/trust", "/v1/./trust", "/v1/%74rust",
        "/V1/trust", "https://a/v1/trust", "/v1/trust#a", "/.well-known/est/label/cacerts",
        "/.well-known/est/", "/crl/", "/crl/.crl", "/crl"}) {
    EXPECT_FALSE(ParseTarget(bad)) << bad;
  }
}

TEST(RequestAuthorizationTest, TakesBearerTokensAndPasswords) {
  EXPECT_EQ(*ParseAuthorization("Bearer abc.DEF-1_2~+/=="), "abc.DEF-1_2~+/==");
  EXPECT_EQ(*ParseAuthorization("bEARER   t"), "t");
  EXPECT_EQ(*ParseAuthorization("Basic " + absl::Base64Escape("est:t0ken")), "t0ken");
  EXPECT_EQ(*ParseAuthorization("basic " + absl::Base64Escape(":a:b")), "a:b");
}

TEST(RequestAuthorizationTest, SaysWhatIsMalformed) {
  for (const std::string& bad :
       {std::string("Bearer"), std::string("Bearer "), std::string("Bearer a b"),
        std::string("Bearer ="), std::string("Bearer a=b"), std::string("Bearer a,b"),
        std::string("Basic"), std::string("Basic !!!"), std::string("Basic YTpi\x80"),
        "Basic " + absl::Base64Escape("no colon"), "Basic " + absl::Base64Escape("a:b c"),
        "Basic " + absl::Base64Escape("a:b\n"), std::string("Basic YTpiYw"),
        "Basic " + absl::Base64Escape(absl::string_view("a:b\0c", 5))}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParseAuthorization(bad).status())) << bad;
  }
}

TEST(RequestAuthorizationTest, WhatHoldsNoCredentialIsUnauthenticated) {
  for (const std::string& none :
       {std::string(), std::string("Digest a"), std::string("Bearers a"), std::string(" Bearer a"),
        "Basic " + absl::Base64Escape("est:")}) {
    EXPECT_TRUE(absl::IsUnauthenticated(ParseAuthorization(none).status())) << none;
  }
}

TEST(RequestFieldsTest, MediaTypesHaveParametersAndAnyCase) {
  EXPECT_TRUE(IsMediaType("application/pkcs10", "application/pkcs10"));
  EXPECT_TRUE(IsMediaType("Application/PKCS10 ; a=b", "application/pkcs10"));
  EXPECT_FALSE(IsMediaType("application/pkcs10x", "application/pkcs10"));
  EXPECT_FALSE(IsMediaType("text/plain; application/pkcs10", "application/pkcs10"));
  EXPECT_FALSE(IsMediaType("", "application/pkcs10"));
}

TEST(RequestFieldsTest, FindsThePreferredWait) {
  EXPECT_EQ(ParsePreferredWait("wait=10"), seconds(10));
  EXPECT_EQ(ParsePreferredWait("respond-async, WAIT = \"7\"; a=b"), seconds(7));
  EXPECT_EQ(ParsePreferredWait("wait=99999999999"), seconds(4294967295));
  for (const char* none : {"", "wait", "wait=", "wait=-1", "wait=1.5", "waiting=3", "wait=1e3",
                           "wait=99999999999999999999999", ",,;=,"}) {
    EXPECT_FALSE(ParsePreferredWait(none)) << none;
  }
}

TEST(RequestFieldsTest, ReadsTheSequenceOfATag) {
  EXPECT_EQ(ParseSequenceTag("\"12\""), 12U);
  EXPECT_EQ(ParseSequenceTag(" W/\"0\" "), 0U);
  EXPECT_EQ(ParseSequenceTag("\"18446744073709551615\""), 18446744073709551615U);
  for (const char* none : {"", "12", "\"12", "\"\"", "\"-1\"", "\"1\", \"2\"", "*", "\"a\"",
                           "w/\"1\"", "\"18446744073709551616\"", "\" 1\""}) {
    EXPECT_FALSE(ParseSequenceTag(none)) << none;
  }
}

TEST(RequestBodyTest, DecodesUpToTheLargestRequest) {
  const std::string largest(tls::kMaxCsrSize, 'x');
  EXPECT_EQ(*DecodeEnrolBody(tls::EncodeBody(largest)), largest);
  EXPECT_EQ(*DecodeEnrolBody("eA=\n ="), "x");
  EXPECT_TRUE(absl::IsOutOfRange(DecodeEnrolBody(tls::EncodeBody(largest + "x")).status()));
  for (const char* bad : {"", " ", "!", "eA", "-----BEGIN CERTIFICATE REQUEST-----"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(DecodeEnrolBody(bad).status())) << bad;
  }
}

TEST(RequestBodyTest, TheLimitOfABodyHasRoomForTheLargestRequest) {
  EXPECT_LE(tls::EncodeBody(std::string(tls::kMaxCsrSize, 'x')).size(), kMaxBodySize);
}

}  // namespace
}  // namespace tombolo::ca::https
