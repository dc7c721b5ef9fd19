// SPDX-License-Identifier: Apache-2.0
#include "tls/jwt.h"

#include <cstdlib>
#include <functional>
#include <map>
#include <utility>

#include <boost/json/serialize.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ecdsa.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>

#include "absl/strings/str_cat.h"
#include "tls/base64.h"
#include "tls/jwk.h"
#include "tls/key_impl.h"

namespace tombolo::tls {
namespace {

namespace json = boost::json;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kIssuer[] = "https://kubernetes.default.svc.east.test";
constexpr char kAudience[] = "tombolo-ca";
constexpr std::int64_t kNow = 1800000000;
const WallTime kWallNow{seconds(kNow)};

const EVP_MD* DigestOf(const std::string& algorithm) {
  if (algorithm.ends_with("384")) return EVP_sha384();
  return algorithm.ends_with("512") ? EVP_sha512() : EVP_sha256();
}

// A JWS signature, as an API server makes it.
std::string SignRaw(EVP_PKEY* key, const std::string& algorithm, const std::string& text) {
  const std::unique_ptr<EVP_MD_CTX, Freer<EVP_MD_CTX_free>> context(EVP_MD_CTX_new());
  std::string signature(1024, '\0');
  std::size_t size = signature.size();
  auto* out = reinterpret_cast<unsigned char*>(signature.data());
  if (EVP_DigestSignInit(context.get(), nullptr, DigestOf(algorithm), nullptr, key) != 1 ||
      EVP_DigestSign(context.get(), out, &size, reinterpret_cast<const unsigned char*>(text.data()),
                     text.size()) != 1) {
    std::abort();
  }
  signature.resize(size);
  if (!EVP_PKEY_is_a(key, "EC")) return signature;
  const auto* data = reinterpret_cast<const unsigned char*>(signature.data());
  const std::unique_ptr<ECDSA_SIG, Freer<ECDSA_SIG_free>> numbers(
      d2i_ECDSA_SIG(nullptr, &data, static_cast<long>(size)));
  const int half = (EVP_PKEY_get_bits(key) + 7) / 8;
  std::string raw(2 * static_cast<std::size_t>(half), '\0');
  auto* bytes = reinterpret_cast<unsigned char*>(raw.data());
  BN_bn2binpad(ECDSA_SIG_get0_r(numbers.get()), bytes, half);
  BN_bn2binpad(ECDSA_SIG_get0_s(numbers.get()), bytes + half, half);
  return raw;
}

json::object Claims() {
  return {{"iss", kIssuer},
          {"sub", "system:serviceaccount:tombolo:agent"},
          {"aud", json::array{"other", kAudience}},
          {"exp", kNow + 600},
          {"nbf", kNow - 600},
          {"iat", kNow - 600},
          {"jti", "8f9c"},
          {"kubernetes.io",
           {{"namespace", "tombolo"},
            {"serviceaccount", {{"name", "agent"}, {"uid", "sa-uid"}}},
            {"pod", {{"name", "agent-x1"}, {"uid", "pod-uid"}}},
            {"node", {{"name", "n1"}, {"uid", "node-uid"}}}}}};
}

// Each named after its algorithm. Made once: RSA keys take their time.
using Signers = std::map<std::string, KeyPtr>;
const Signers& SharedSigners() {
  static const Signers signers = [] {
    Signers made;
    for (const char* rsa : {"RS256", "RS384", "RS512"}) made[rsa] = KeyPtr(EVP_RSA_gen(2048));
    made["ES256"] = KeyPtr(EVP_EC_gen("P-256"));
    made["ES384"] = KeyPtr(EVP_EC_gen("P-384"));
    return made;
  }();
  return signers;
}

class JwtTest : public ::testing::Test {
 protected:
  JwtTest() {
    for (const auto& [kid, key] : signers_) {
      json::object jwk = *KeyToJwk(*ToPublicKey(key.get()));
      jwk["kid"] = kid;
      jwk["use"] = "sig";
      document_[kid] = std::move(jwk);
    }
    Reload();
  }

  void Reload() {
    json::array jwks;
    for (const auto& [kid, jwk] : document_) jwks.push_back(jwk);
    auto keys = JwtKeys::Parse(json::serialize(json::object{{"keys", jwks}}));
    ASSERT_TRUE(keys.ok()) << keys.status();
    keys_ = *std::move(keys);
  }

  static std::string Text(const std::string& header, const json::object& claims) {
    return absl::StrCat(EncodeBase64Url(header), ".", EncodeBase64Url(json::serialize(claims)));
  }
  static std::string Header(const std::string& algorithm, const std::string& kid) {
    return absl::StrCat(R"({"alg":")", algorithm, R"(","kid":")", kid, "\"}");
  }
  std::string Token(const json::object& claims, const std::string& algorithm = "ES256",
                    const std::string& kid = "ES256") const {
    const std::string text = Text(Header(algorithm, kid), claims);
    return absl::StrCat(text, ".",
                        EncodeBase64Url(SignRaw(signers_.at(kid).get(), algorithm, text)));
  }
  absl::StatusOr<ServiceAccountToken> Verify(const std::string& token) const {
    return VerifyServiceAccountToken(token, keys_, {.issuer = kIssuer, .audience = kAudience},
                                     kWallNow);
  }
  // The error for claims with one changed.
  std::string ErrorWith(const std::function<void(json::object&)>& change) const {
    json::object claims = Claims();
    change(claims);
    const auto token = Verify(Token(claims));
    EXPECT_FALSE(token.ok());
    return std::string(token.status().message());
  }
  static void ExpectError(const absl::StatusOr<ServiceAccountToken>& token, absl::StatusCode code,
                          const std::string& why) {
    EXPECT_EQ(token.status().code(), code) << token.status();
    EXPECT_THAT(std::string(token.status().message()), HasSubstr(why));
  }

  const Signers& signers_ = SharedSigners();
  std::map<std::string, json::object> document_;
  JwtKeys keys_;
};

constexpr auto kMalformed = absl::StatusCode::kInvalidArgument;
constexpr auto kRefused = absl::StatusCode::kUnauthenticated;

TEST_F(JwtTest, GivesTheClaimsOfAGoodToken) {
  for (const char* algorithm : {"RS256", "RS384", "RS512", "ES256", "ES384"}) {
    const auto token = Verify(Token(Claims(), algorithm, algorithm));
    ASSERT_TRUE(token.ok()) << algorithm << ": " << token.status();
    EXPECT_EQ(token->issuer, kIssuer);
    EXPECT_EQ(token->subject, "system:serviceaccount:tombolo:agent");
    EXPECT_THAT(token->audiences, ElementsAre("other", kAudience));
    EXPECT_EQ(token->id, "8f9c");
    EXPECT_EQ(token->expires, kWallNow + seconds(600));
    EXPECT_EQ(token->ns, "tombolo");
    EXPECT_EQ(token->service_account, "agent");
    EXPECT_EQ(token->service_account_uid, "sa-uid");
    EXPECT_EQ(token->pod_name, "agent-x1");
    EXPECT_EQ(token->pod_uid, "pod-uid");
    EXPECT_EQ(token->node_name, "n1");
    EXPECT_EQ(token->node_uid, "node-uid");
  }
  EXPECT_EQ(*UnverifiedIssuer(Token(Claims())), kIssuer);
}

TEST_F(JwtTest, PodAndNodeMayBeAbsent) {
  json::object claims = Claims();
  claims["aud"] = kAudience;
  claims["kubernetes.io"].as_object().erase("pod");
  claims["kubernetes.io"].as_object().erase("node");
  claims.erase("nbf");
  claims.erase("iat");
  claims.erase("jti");
  const auto token = Verify(Token(claims));
  ASSERT_TRUE(token.ok()) << token.status();
  EXPECT_EQ(token->pod_name, "");
  EXPECT_EQ(token->node_name, "");
}

TEST_F(JwtTest, RefusesAlgorithmsThatProveNothing) {
  for (const char* algorithm : {"none", "None", "", "HS256", "HS512", "PS256", "ES512", "rs256"}) {
    const std::string text = Text(Header(algorithm, "RS256"), Claims());
    EXPECT_FALSE(Verify(text + ".").ok()) << algorithm;
    EXPECT_FALSE(Verify(text + ".AAAA").ok()) << algorithm;
  }
  // The classic: the public key as the secret of an HMAC.
  const std::string text = Text(Header("HS256", "RS256"), Claims());
  const std::string secret = ToPublicKey(signers_.at("RS256").get())->spki;
  unsigned char mac[32];
  unsigned size = sizeof(mac);
  HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), mac, &size);
  ExpectError(
      Verify(absl::StrCat(text, ".", EncodeBase64Url({reinterpret_cast<const char*>(mac), size}))),
      kRefused, "its algorithm is not");
}

TEST_F(JwtTest, AKeyIsForItsOwnAlgorithm) {
  ExpectError(Verify(Token(Claims(), "RS256", "ES256")), kRefused, "its key is not for RS256");
  ExpectError(Verify(Token(Claims(), "ES256", "ES384")), kRefused, "its key is not for ES256");
  // An RSA key does for each of its three, unless the document names one.
  EXPECT_TRUE(Verify(Token(Claims(), "RS512", "RS256")).ok());
  document_["RS256"]["alg"] = "RS256";
  Reload();
  ExpectError(Verify(Token(Claims(), "RS512", "RS256")), kRefused, "its key is not for RS512");
  EXPECT_TRUE(Verify(Token(Claims(), "RS256", "RS256")).ok());
}

TEST_F(JwtTest, RefusesEveryChange) {
  for (const char* algorithm : {"RS256", "ES256"}) {
    const std::string token = Token(Claims(), algorithm, algorithm);
    ASSERT_TRUE(Verify(token).ok());
    for (std::size_t at = 0; at < token.size(); ++at) {
      std::string bad = token;
      bad[at] = bad[at] == 'A' ? 'B' : 'A';
      EXPECT_FALSE(Verify(bad).ok()) << at;
    }
    for (std::size_t size = 0; size < token.size(); ++size) {
      EXPECT_FALSE(Verify(token.substr(0, size)).ok()) << size;
    }
    const std::size_t end = token.rfind('.') + 1;
    const std::string signature = token.substr(end);
    const std::string another = Token(Claims(), "RS384", "RS384");
    ExpectError(Verify(token.substr(0, end) + EncodeBase64Url("short")), kRefused, "signature");
    ExpectError(Verify(token.substr(0, end)), kRefused, "signature");
    ExpectError(Verify(token.substr(0, end) + another.substr(another.rfind('.') + 1)), kRefused,
                "signature");
  }
  // Zeros, once accepted by more than one library.
  const std::string text = Text(Header("ES256", "ES256"), Claims());
  ExpectError(Verify(absl::StrCat(text, ".", EncodeBase64Url(std::string(64, '\0')))), kRefused,
              "its signature is not by its key");
}

TEST_F(JwtTest, RefusesWhatIsNoToken) {
  const std::string good = Token(Claims());
  const std::size_t dot = good.find('.');
  const std::string rest = good.substr(dot);
  ExpectError(Verify(""), kMalformed, "three parts");
  ExpectError(Verify("a.b"), kMalformed, "three parts");
  ExpectError(Verify(good + ".x"), kMalformed, "three parts");
  ExpectError(Verify(std::string(kMaxTokenSize + 1, 'a')), kMalformed, "larger than");
  ExpectError(Verify("*" + rest), kMalformed, "header is not base64url");
  ExpectError(Verify(good.substr(0, dot) + "=" + rest), kMalformed, "header is not base64url");
  ExpectError(Verify(good + "\n"), kMalformed, "signature is not base64url");
  ExpectError(Verify(EncodeBase64Url("[]") + rest), kMalformed, "header is not a JSON object");
  ExpectError(Verify(EncodeBase64Url("{") + rest), kMalformed, "header is not JSON");
  ExpectError(Verify(EncodeBase64Url("{}") + rest), kMalformed, "no 'alg'");
  ExpectError(Verify(EncodeBase64Url(R"({"alg":1})") + rest), kMalformed, "no 'alg'");
  ExpectError(Verify(EncodeBase64Url(R"({"alg":"ES256"})") + rest), kMalformed, "no 'kid'");
  ExpectError(Verify(EncodeBase64Url(R"({"alg":"ES256","kid":"ES256","crit":["b64"]})") + rest),
              kRefused, "critical");
  ExpectError(Verify(EncodeBase64Url(std::string(900, '[')) + rest), kMalformed, "not JSON");
}

TEST_F(JwtTest, AnUnknownKeyIsNotFound) {
  const std::string text = Text(Header("ES256", "new\\u0000key\\n"), Claims());
  ExpectError(Verify(text + ".AAAA"), absl::StatusCode::kNotFound, "no key 'new\\x00key\\n'");
}

TEST_F(JwtTest, ChecksIssuerAudienceAndTime) {
  using Object = json::object;
  EXPECT_THAT(ErrorWith([](Object& c) { c["iss"] = "https://other"; }),
              HasSubstr("another issuer"));
  EXPECT_THAT(ErrorWith([](Object& c) { c.erase("iss"); }), HasSubstr("no 'iss'"));
  EXPECT_THAT(ErrorWith([](Object& c) { c["aud"] = "other"; }), HasSubstr("not for the audience"));
  EXPECT_THAT(ErrorWith([](Object& c) { c["aud"] = json::array(); }), HasSubstr("no audience"));
  EXPECT_THAT(ErrorWith([](Object& c) { c["aud"] = 7; }), HasSubstr("no audience"));
  EXPECT_THAT(ErrorWith([](Object& c) {
                c["aud"] = json::array{kAudience, 7};
              }),
              HasSubstr("list of strings"));
  EXPECT_THAT(ErrorWith([](Object& c) { c["aud"] = json::array(33, "a"); }),
              HasSubstr("more than 32 audiences"));
  EXPECT_THAT(ErrorWith([](Object& c) { c.erase("aud"); }), HasSubstr("no 'aud'"));
  EXPECT_THAT(ErrorWith([](Object& c) { c["exp"] = kNow - 30; }), HasSubstr("has expired"));
  EXPECT_THAT(ErrorWith([](Object& c) { c.erase("exp"); }), HasSubstr("no 'exp'"));
  EXPECT_THAT(ErrorWith([](Object& c) { c["exp"] = nullptr; }), HasSubstr("no 'exp'"));
  EXPECT_THAT(ErrorWith([](Object& c) { c["exp"] = "soon"; }), HasSubstr("'exp' is not a number"));
  EXPECT_THAT(ErrorWith([](Object& c) { c["exp"] = 1e300; }), HasSubstr("'exp' is not a number"));
  EXPECT_THAT(ErrorWith([](Object& c) { c["exp"] = -1; }), HasSubstr("'exp' is not a number"));
  EXPECT_THAT(ErrorWith([](Object& c) { c["nbf"] = kNow + 31; }), HasSubstr("not valid yet"));
  EXPECT_THAT(ErrorWith([](Object& c) { c["iat"] = kNow + 31; }), HasSubstr("in the future"));
  json::object claims = Claims();
  claims["exp"] = static_cast<double>(kNow) - 28.5;
  claims["nbf"] = claims["iat"] = kNow + 30;
  EXPECT_TRUE(Verify(Token(claims)).ok()) << "within the skew";
}

TEST_F(JwtTest, ChecksTheClaimsOfKubernetes) {
  const auto with = [&](const std::function<void(json::object&)>& change) {
    return ErrorWith([&](json::object& claims) { change(claims["kubernetes.io"].as_object()); });
  };
  using Object = json::object;
  EXPECT_THAT(ErrorWith([](Object& c) { c.erase("kubernetes.io"); }), HasSubstr("kubernetes.io"));
  EXPECT_THAT(ErrorWith([](Object& c) { c["kubernetes.io"] = 1; }), HasSubstr("not an object"));
  EXPECT_THAT(ErrorWith([](Object& c) { c["sub"] = "system:serviceaccount:tombolo:other"; }),
              HasSubstr("its subject is not its service account"));
  EXPECT_THAT(with([](Object& k) { k["namespace"] = "shop"; }), HasSubstr("its subject"));
  EXPECT_THAT(with([](Object& k) { k.erase("namespace"); }), HasSubstr("no namespace"));
  EXPECT_THAT(with([](Object& k) { k.erase("serviceaccount"); }), HasSubstr("no service account"));
  EXPECT_THAT(with([](Object& k) { k["pod"] = "p"; }), HasSubstr("'pod' is not an object"));
  EXPECT_THAT(with([](Object& k) { k["pod"] = json::object(); }), HasSubstr("'pod' has no name"));
  EXPECT_THAT(with([](Object& k) {
                k["node"] = {{"name", std::string(254, 'n')}};
              }),
              HasSubstr("longer than 253"));
}

TEST(JwtKeysTest, RefusesWhatIsNoDocument) {
  const auto error = [](const std::string& text) {
    const auto keys = JwtKeys::Parse(text);
    EXPECT_TRUE(absl::IsInvalidArgument(keys.status())) << keys.status();
    return std::string(keys.status().message());
  };
  EXPECT_THAT(error(""), HasSubstr("not JSON"));
  EXPECT_THAT(error("{}"), HasSubstr("no 'keys'"));
  EXPECT_THAT(error(R"({"keys":{}})"), HasSubstr("'keys' is not a list"));
  EXPECT_THAT(error(R"({"keys":["a"]})"), HasSubstr("not an object"));
  EXPECT_THAT(error(R"({"keys":[{"kty":"RSA"}]})"), HasSubstr("no key with a 'kid'"));
  EXPECT_THAT(error(R"({"keys":[{"kid":"a"},{"kid":"a"}]})"), HasSubstr("two keys are called 'a'"));
  EXPECT_THAT(error(std::string(kMaxJwksSize + 1, ' ')), HasSubstr("larger than"));
  std::string many = R"({"keys":[{})";
  for (int i = 0; i < 64; ++i) many += ",{}";
  EXPECT_THAT(error(many + "]}"), HasSubstr("more than 64 keys"));
}

TEST(JwtKeysTest, AnIssuerMayHaveWithdrawnAll) {
  const auto keys = JwtKeys::Parse(R"({"keys":[]})");
  ASSERT_TRUE(keys.ok()) << keys.status();
  EXPECT_TRUE(keys->empty());
  EXPECT_TRUE(absl::IsNotFound(keys->Find("a").status()));
}

// One bad key must not keep a cluster's other tokens out, and its own tokens get the reason.
TEST(JwtKeysTest, KeepsTheReasonOfAKeyThatIsOfNoUse) {
  json::object weak = {
      {"kty", "RSA"}, {"n", EncodeBase64Url(std::string(128, '\xff'))}, {"e", "AQAB"}};
  json::object off_curve = *KeyToJwk(*ToPublicKey(KeyPtr(EVP_EC_gen("P-256")).get()));
  off_curve["y"] = off_curve["x"];
  json::object short_point = off_curve;
  short_point["x"] = "AAAA";
  json::object other_use = *KeyToJwk(*ToPublicKey(KeyPtr(EVP_EC_gen("P-256")).get()));
  other_use["use"] = "enc";
  json::object private_curve = off_curve;
  private_curve["crv"] = "secp256k1";
  const std::pair<json::object, const char*> kBad[] = {
      {weak, "RSA key has 1024 bits"},
      {off_curve, "not an EC key"},
      {short_point, "'x' or 'y' is not of P-256"},
      {other_use, "is not for signatures"},
      {private_curve, "'crv' is not"},
      {{{"kty", "oct"}, {"k", "AAAA"}}, "'kty' is not RSA or EC"},
      {{{"kty", "RSA"}, {"n", "*"}, {"e", "AQAB"}}, "'n' is not a base64url number"},
      {{{"kty", "RSA"}, {"n", EncodeBase64Url(std::string(2049, '\xff'))}, {"e", "AQAB"}},
       "'n' is not a base64url number"},
      {{{"kty", "RSA"}, {"e", "AQAB"}}, "no 'n'"},
      {{{"kty", 7}}, "'kty' is not a string"}};
  for (const auto& [jwk, why] : kBad) {
    json::object named = jwk;
    named["kid"] = "k";
    const auto keys = JwtKeys::Parse(json::serialize(json::object{{"keys", json::array{named}}}));
    ASSERT_TRUE(keys.ok()) << keys.status();
    const auto found = keys->Find("k");
    EXPECT_TRUE(absl::IsUnauthenticated(found.status())) << found.status();
    EXPECT_THAT(std::string(found.status().message()), HasSubstr("key 'k' cannot be used: "));
    EXPECT_THAT(std::string(found.status().message()), HasSubstr(why));
  }
}

}  // namespace
}  // namespace tombolo::tls
