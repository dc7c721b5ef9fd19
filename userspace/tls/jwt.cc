// SPDX-License-Identifier: Apache-2.0
#include "tls/jwt.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>

#include <boost/json/array.hpp>
#include <openssl/ecdsa.h>
#include <openssl/err.h>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"
#include "tls/base64.h"
#include "tls/json.h"
#include "tls/key_impl.h"

namespace tombolo::tls {
namespace {

namespace json = boost::json;

using EcdsaPtr = std::unique_ptr<ECDSA_SIG, Freer<ECDSA_SIG_free>>;
using DigestPtr = std::unique_ptr<EVP_MD_CTX, Freer<EVP_MD_CTX_free>>;

constexpr std::size_t kMaxAudiences = 32;
constexpr std::size_t kMaxName = 253;                       // of an object in Kubernetes
constexpr std::uint64_t kMaxTime = std::uint64_t{1} << 33;  // the year 2242: fits WallTime

// The key's kind belongs to the algorithm: a token cannot choose what its key means.
struct Algorithm {
  absl::string_view name;
  const char* digest;
  KeyKind kind;
  std::size_t half;  // octets of each number of an ECDSA signature
};
constexpr Algorithm kAlgorithms[] = {{"RS256", "SHA256", KeyKind::kRsa, 0},
                                     {"RS384", "SHA384", KeyKind::kRsa, 0},
                                     {"RS512", "SHA512", KeyKind::kRsa, 0},
                                     {"ES256", "SHA256", KeyKind::kP256, 32},
                                     {"ES384", "SHA384", KeyKind::kP384, 48}};

struct Parts {
  json::object header, claims;
  absl::string_view signed_text;
  std::string signature;
};

absl::Status Malformed(absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("token: ", why));
}
absl::Status Refuse(absl::string_view why) {
  return absl::UnauthenticatedError(absl::StrCat("token: ", why));
}

absl::StatusOr<json::object> DecodeObject(absl::string_view part, absl::string_view what) {
  const absl::StatusOr<std::string> text = DecodeBase64Url(part);
  if (!text.ok()) return Malformed(absl::StrCat(what, " is not base64url"));
  absl::StatusOr<json::object> object = ParseJsonObject(*text);
  if (!object.ok()) return Malformed(absl::StrCat(what, " is ", object.status().message()));
  return object;
}

absl::StatusOr<Parts> Split(absl::string_view token) {
  if (token.size() > kMaxTokenSize) {
    return Malformed(absl::StrCat("larger than ", kMaxTokenSize, " bytes"));
  }
  const std::vector<absl::string_view> texts = absl::StrSplit(token, '.');
  if (texts.size() != 3) return Malformed("not three parts with dots between");
  Parts parts;
  ASSIGN_OR_RETURN(parts.header, DecodeObject(texts[0], "header"));
  ASSIGN_OR_RETURN(parts.claims, DecodeObject(texts[1], "body"));
  absl::StatusOr<std::string> signature = DecodeBase64Url(texts[2]);
  if (!signature.ok()) return Malformed("signature is not base64url");
  parts.signature = *std::move(signature);
  parts.signed_text = token.substr(0, texts[0].size() + 1 + texts[1].size());
  return parts;
}

absl::StatusOr<const Algorithm*> AlgorithmOf(const json::object& header) {
  if (header.contains("crit")) return Refuse("has critical extensions");
  const absl::StatusOr<std::string> name = NeedString(header, "alg");
  if (!name.ok()) return Malformed("header has no 'alg'");
  for (const Algorithm& algorithm : kAlgorithms) {
    if (algorithm.name == *name) return &algorithm;
  }
  return Refuse("its algorithm is not RS256, RS384, RS512, ES256 or ES384");
}

// JWS has the two numbers side by side (RFC 7518, section 3.4), OpenSSL wants them in DER.
absl::StatusOr<std::string> ToDer(const std::string& raw, std::size_t half) {
  if (raw.size() != 2 * half) return Refuse("its signature has the wrong length");
  const auto* bytes = reinterpret_cast<const unsigned char*>(raw.data());
  const EcdsaPtr signature(ECDSA_SIG_new());
  BignumPtr r(BN_bin2bn(bytes, static_cast<int>(half), nullptr));
  BignumPtr s(BN_bin2bn(bytes + half, static_cast<int>(half), nullptr));
  if (signature == nullptr || ECDSA_SIG_set0(signature.get(), r.get(), s.get()) != 1) {
    return Refuse("its signature is damaged");
  }
  (void)r.release();
  (void)s.release();
  unsigned char* der = nullptr;
  const int size = i2d_ECDSA_SIG(signature.get(), &der);
  if (size <= 0) return Refuse("its signature is damaged");
  std::string text(reinterpret_cast<const char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  return text;
}

absl::Status CheckSignature(const Parts& parts, const JwtKeys& keys) {
  ASSIGN_OR_RETURN(const Algorithm* algorithm, AlgorithmOf(parts.header));
  const absl::StatusOr<std::string> kid = NeedString(parts.header, "kid");
  if (!kid.ok()) return Malformed("header has no 'kid'");
  ASSIGN_OR_RETURN(const JwtKeys::Key found, keys.Find(*kid));
  if (found.key.kind != algorithm->kind ||
      (!found.algorithm.empty() && found.algorithm != algorithm->name)) {
    return Refuse(absl::StrCat("its key is not for ", algorithm->name));
  }
  std::string signature = parts.signature;
  if (algorithm->half != 0) {
    ASSIGN_OR_RETURN(signature, ToDer(parts.signature, algorithm->half));
  }
  ASSIGN_OR_RETURN(const KeyPtr key, ToKey(found.key));
  const DigestPtr context(EVP_MD_CTX_new());
  const auto bytes = [](absl::string_view text) {
    return reinterpret_cast<const unsigned char*>(text.data());
  };
  const bool good = context != nullptr &&
                    EVP_DigestVerifyInit_ex(context.get(), nullptr, algorithm->digest, nullptr,
                                            nullptr, key.get(), nullptr) == 1 &&
                    EVP_DigestVerify(context.get(), bytes(signature), signature.size(),
                                     bytes(parts.signed_text), parts.signed_text.size()) == 1;
  ERR_clear_error();
  return good ? absl::OkStatus() : Refuse("its signature is not by its key");
}

absl::StatusOr<std::vector<std::string>> AudiencesOf(const json::object& claims) {
  const json::value* audience = claims.if_contains("aud");
  if (audience == nullptr) return Refuse("has no 'aud'");
  std::vector<std::string> audiences;
  if (audience->is_string()) audiences.emplace_back(audience->get_string());
  if (const json::array* list = audience->if_array()) {
    if (list->size() > kMaxAudiences) {
      return Refuse(absl::StrCat("has more than ", kMaxAudiences, " audiences"));
    }
    for (const json::value& one : *list) {
      if (!one.is_string()) return Malformed("'aud' is not a list of strings");
      audiences.emplace_back(one.get_string());
    }
  }
  if (audiences.empty()) return Refuse("has no audience");
  return audiences;
}

absl::StatusOr<std::optional<WallTime>> TimeOf(const json::object& claims, absl::string_view name) {
  const absl::StatusOr<std::optional<std::uint64_t>> seconds = NumberMember(claims, name, kMaxTime);
  if (!seconds.ok()) return Malformed(seconds.status().message());
  if (!*seconds) return std::optional<WallTime>();
  return std::optional<WallTime>(WallTime(std::chrono::seconds(**seconds)));
}

absl::StatusOr<WallTime> CheckTimes(const json::object& claims, std::chrono::seconds skew,
                                    WallTime now) {
  ASSIGN_OR_RETURN(const std::optional<WallTime> expires, TimeOf(claims, "exp"));
  ASSIGN_OR_RETURN(const std::optional<WallTime> begins, TimeOf(claims, "nbf"));
  ASSIGN_OR_RETURN(const std::optional<WallTime> issued, TimeOf(claims, "iat"));
  if (!expires) return Refuse("has no 'exp': it never ends");
  if (now >= *expires + skew) return Refuse("has expired");
  if (begins && now + skew < *begins) return Refuse("is not valid yet");
  if (issued && now + skew < *issued) return Refuse("is issued in the future");
  return *expires;
}

struct ObjectName {
  std::string name, uid;
};

absl::StatusOr<ObjectName> NameOf(const json::object& kubernetes, absl::string_view what) {
  const absl::StatusOr<const json::object*> object = ObjectMember(kubernetes, what);
  if (!object.ok()) return Malformed(object.status().message());
  ObjectName result;
  if (*object == nullptr) return result;
  const absl::StatusOr<std::string> name = NeedString(**object, "name");
  const absl::StatusOr<std::optional<std::string>> uid = StringMember(**object, "uid");
  if (!name.ok() || !uid.ok()) return Malformed(absl::StrCat("'", what, "' has no name or uid"));
  result = {.name = *name, .uid = uid->value_or("")};
  if (result.name.size() > kMaxName || result.uid.size() > kMaxName) {
    return Malformed(absl::StrCat("'", what, "' has a name longer than ", kMaxName, " bytes"));
  }
  return result;
}

absl::Status ReadKubernetes(const json::object& claims, ServiceAccountToken& token) {
  const absl::StatusOr<const json::object*> member = ObjectMember(claims, "kubernetes.io");
  if (!member.ok()) return Malformed(member.status().message());
  if (*member == nullptr) return Refuse("has no 'kubernetes.io': is it a service account's?");
  const json::object& kubernetes = **member;
  const absl::StatusOr<std::string> ns = NeedString(kubernetes, "namespace");
  if (!ns.ok() || ns->size() > kMaxName) return Malformed("has no namespace");
  ASSIGN_OR_RETURN(const ObjectName account, NameOf(kubernetes, "serviceaccount"));
  ASSIGN_OR_RETURN(const ObjectName pod, NameOf(kubernetes, "pod"));
  ASSIGN_OR_RETURN(const ObjectName node, NameOf(kubernetes, "node"));
  if (account.name.empty()) return Refuse("has no service account");
  // Two claims for one thing: a token in which they differ is nobody's.
  if (token.subject != absl::StrCat("system:serviceaccount:", *ns, ":", account.name)) {
    return Refuse("its subject is not its service account");
  }
  token.ns = *ns;
  token.service_account = account.name;
  token.service_account_uid = account.uid;
  token.pod_name = pod.name;
  token.pod_uid = pod.uid;
  token.node_name = node.name;
  token.node_uid = node.uid;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ServiceAccountToken> VerifyServiceAccountToken(absl::string_view token,
                                                              const JwtKeys& keys,
                                                              const TokenRules& rules,
                                                              WallTime now) {
  ASSIGN_OR_RETURN(const Parts parts, Split(token));
  RETURN_IF_ERROR(CheckSignature(parts, keys));
  ServiceAccountToken result;
  const absl::StatusOr<std::string> issuer = NeedString(parts.claims, "iss");
  const absl::StatusOr<std::string> subject = NeedString(parts.claims, "sub");
  const absl::StatusOr<std::optional<std::string>> id = StringMember(parts.claims, "jti");
  if (!issuer.ok() || !subject.ok() || !id.ok()) return Malformed("has no 'iss' or no 'sub'");
  if (*issuer != rules.issuer) return Refuse("is of another issuer");
  ASSIGN_OR_RETURN(result.audiences, AudiencesOf(parts.claims));
  if (std::find(result.audiences.begin(), result.audiences.end(), rules.audience) ==
      result.audiences.end()) {
    return Refuse(absl::StrCat("is not for the audience '", rules.audience, "'"));
  }
  ASSIGN_OR_RETURN(result.expires, CheckTimes(parts.claims, rules.skew, now));
  result.issuer = *issuer;
  result.subject = *subject;
  result.id = id->value_or("");
  RETURN_IF_ERROR(ReadKubernetes(parts.claims, result));
  return result;
}

absl::StatusOr<std::string> UnverifiedIssuer(absl::string_view token) {
  ASSIGN_OR_RETURN(const Parts parts, Split(token));
  absl::StatusOr<std::string> issuer = NeedString(parts.claims, "iss");
  if (!issuer.ok()) return Malformed("has no 'iss'");
  return issuer;
}

}  // namespace tombolo::tls
