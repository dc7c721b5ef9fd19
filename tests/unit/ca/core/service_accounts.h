// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdlib>
#include <memory>
#include <string>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>

#include "absl/strings/str_cat.h"
#include "base/time.h"
#include "tls/base64.h"
#include "tls/jwk.h"
#include "tls/key_impl.h"

namespace tombolo::testing {

// A Kubernetes cluster that signs service account tokens (ES256).
class ServiceAccounts {
 public:
  static constexpr char kIssuer[] = "https://kubernetes.default.svc.cluster.local";

  explicit ServiceAccounts(std::string kid = "k1") : kid_(std::move(kid)) {}

  std::string Jwks() const {
    boost::json::object jwk = *tls::KeyToJwk(*tls::ToPublicKey(key_.get()));
    jwk["kid"] = kid_;
    jwk["use"] = "sig";
    return boost::json::serialize(boost::json::object{{"keys", boost::json::array{jwk}}});
  }

  struct Claims {
    std::string ns = "shop", account = "web", pod = "web-1", node = "n1";  // pod and node may be ""
    std::string audience = "tombolo-ca", issuer = kIssuer;
    std::chrono::seconds expires_in{600};
  };
  std::string Token(const Claims& claims) const {
    const auto now = std::chrono::duration_cast<std::chrono::seconds>(
        std::chrono::system_clock::now().time_since_epoch());
    boost::json::object kubernetes{{"namespace", claims.ns},
                                   {"serviceaccount", Object(claims.account)}};
    if (!claims.pod.empty()) kubernetes["pod"] = Object(claims.pod);
    if (!claims.node.empty()) kubernetes["node"] = Object(claims.node);
    return Sign(boost::json::object{
        {"iss", claims.issuer},
        {"sub", absl::StrCat("system:serviceaccount:", claims.ns, ":", claims.account)},
        {"aud", boost::json::array{claims.audience}},
        {"exp", (now + claims.expires_in).count()},
        {"iat", (now - std::chrono::seconds(3600)).count()},
        {"kubernetes.io", kubernetes}});
  }

 private:
  static boost::json::object Object(const std::string& name) {
    return {{"name", name}, {"uid", absl::StrCat("uid-of-", name)}};
  }

  std::string Sign(const boost::json::object& claims) const {
    const std::string header = absl::StrCat(R"({"alg":"ES256","kid":")", kid_, "\"}");
    const std::string text = absl::StrCat(tls::EncodeBase64Url(header), ".",
                                          tls::EncodeBase64Url(boost::json::serialize(claims)));
    const std::unique_ptr<EVP_MD_CTX, tls::Freer<EVP_MD_CTX_free>> context(EVP_MD_CTX_new());
    std::string der(256, '\0');
    std::size_t size = der.size();
    if (EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key_.get()) != 1 ||
        EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(der.data()), &size,
                       reinterpret_cast<const unsigned char*>(text.data()), text.size()) != 1) {
      std::abort();
    }
    const auto* data = reinterpret_cast<const unsigned char*>(der.data());
    const std::unique_ptr<ECDSA_SIG, tls::Freer<ECDSA_SIG_free>> numbers(
        d2i_ECDSA_SIG(nullptr, &data, static_cast<long>(size)));
    std::string raw(64, '\0');
    auto* bytes = reinterpret_cast<unsigned char*>(raw.data());
    BN_bn2binpad(ECDSA_SIG_get0_r(numbers.get()), bytes, 32);
    BN_bn2binpad(ECDSA_SIG_get0_s(numbers.get()), bytes + 32, 32);
    return absl::StrCat(text, ".", tls::EncodeBase64Url(raw));
  }

  const std::string kid_;
  const tls::KeyPtr key_{EVP_EC_gen("P-256")};
};

}  // namespace tombolo::testing
