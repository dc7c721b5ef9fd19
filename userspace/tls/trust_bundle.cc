// SPDX-License-Identifier: Apache-2.0
#include "tls/trust_bundle.h"

#include <limits>
#include <utility>

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <openssl/err.h>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
#include "tls/base64.h"
#include "tls/bundle_extension.h"
#include "tls/json.h"
#include "tls/jwk.h"
#include "tls/key_impl.h"
#include "tls/pem.h"
#include "tls/svid.h"

namespace tombolo::tls {
namespace {

namespace json = boost::json;

constexpr std::size_t kMaxKeys = 256;  // in one document, of all uses
constexpr int kMaxRoots = 64;
constexpr std::size_t kMaxFederated = 64;
constexpr std::uint64_t kMaxRefreshHint = 366 * 24 * 3600;
constexpr absl::string_view kUse = "x509-svid";

absl::Status Bad(absl::string_view why) { return absl::InvalidArgumentError(why); }

// Whose errors are annotated by where in the document they are.
absl::StatusOr<std::string> RootOf(const json::object& key, absl::string_view trust_domain) {
  ASSIGN_OR_RETURN(const json::array* chain, ArrayMember(key, "x5c"));
  if (chain == nullptr || chain->size() != 1 || !chain->front().is_string()) {
    return Bad("'x5c' is not a list of one certificate");
  }
  const json::string& text = chain->front().get_string();
  ASSIGN_OR_RETURN(const std::string der,
                   DecodeBase64(absl::string_view(text.data(), text.size())));
  const auto* data = reinterpret_cast<const unsigned char*>(der.data());
  const unsigned char* const end = data + der.size();
  const X509Ptr root(d2i_X509(nullptr, &data, static_cast<long>(der.size())));
  ERR_clear_error();
  if (root == nullptr || data != end) return Bad("'x5c' is not a certificate");
  RETURN_IF_ERROR(CheckSigner(root.get(), trust_domain));
  return WriteCertificate(root.get());
}

absl::StatusOr<std::string> RootsOf(const json::object& document, absl::string_view trust_domain) {
  ASSIGN_OR_RETURN(const json::array* keys, ArrayMember(document, "keys"));
  if (keys == nullptr) return Bad("no 'keys'");
  if (keys->size() > kMaxKeys) return Bad(absl::StrCat("more than ", kMaxKeys, " 'keys'"));
  std::string roots;
  int count = 0;
  for (std::size_t i = 0; i < keys->size(); ++i) {
    const json::object* key = (*keys)[i].if_object();
    if (key == nullptr) return Bad(absl::StrCat("keys[", i, "] is not an object"));
    ASSIGN_OR_RETURN(const std::optional<std::string> use, StringMember(*key, "use"));
    if (use != kUse) continue;
    const absl::StatusOr<std::string> root = RootOf(*key, trust_domain);
    if (!root.ok()) return Annotate(root.status(), absl::StrCat("keys[", i, "]"));
    if (++count > kMaxRoots) return Bad(absl::StrCat("more than ", kMaxRoots, " roots"));
    roots += *root;
  }
  if (count == 0) return Bad("no key of use x509-svid");
  return roots;
}

absl::StatusOr<TrustBundle> FromDocument(const json::object& document,
                                         absl::string_view trust_domain) {
  TrustBundle bundle{.trust_domain = std::string(trust_domain), .roots = {}};
  ASSIGN_OR_RETURN(bundle.roots, RootsOf(document, trust_domain));
  ASSIGN_OR_RETURN(
      const std::optional<std::uint64_t> sequence,
      NumberMember(document, "spiffe_sequence", std::numeric_limits<std::uint64_t>::max()));
  ASSIGN_OR_RETURN(const std::optional<std::uint64_t> hint,
                   NumberMember(document, "spiffe_refresh_hint", kMaxRefreshHint));
  bundle.sequence = sequence.value_or(0);
  bundle.refresh_hint = std::chrono::seconds(hint.value_or(0));
  return bundle;
}

absl::Status ReadFederated(const json::object& own, TrustBundle& bundle) {
  ASSIGN_OR_RETURN(const json::object* federated, ObjectMember(own, "federated"));
  if (federated == nullptr) return absl::OkStatus();
  if (federated->size() > kMaxFederated) {
    return Bad(absl::StrCat("tombolo: more than ", kMaxFederated, " 'federated'"));
  }
  for (const auto& [key, value] : *federated) {
    const absl::string_view name(key.data(), key.size());
    const std::string where = absl::StrCat("tombolo: federated '", name.substr(0, 80), "'");
    const absl::Status named = SpiffeId::ForTrustDomain(name).status();
    if (!named.ok()) return Annotate(named, where);
    const json::object* document = value.if_object();
    if (document == nullptr || name == bundle.trust_domain) {
      return Bad(absl::StrCat(where, " is not a bundle of another trust domain"));
    }
    absl::StatusOr<TrustBundle> other = FromDocument(*document, name);
    if (!other.ok()) return Annotate(other.status(), where);
    bundle.federated.push_back(*std::move(other));
  }
  return absl::OkStatus();
}

absl::StatusOr<TrustBundle> FromJson(absl::string_view text, absl::string_view trust_domain) {
  ASSIGN_OR_RETURN(const json::object document, ParseJsonObject(text));
  ASSIGN_OR_RETURN(TrustBundle bundle, FromDocument(document, trust_domain));
  ASSIGN_OR_RETURN(const json::object* own, ObjectMember(document, "tombolo"));
  if (own == nullptr) return bundle;
  ASSIGN_OR_RETURN(const std::string named, NeedString(*own, "trust_domain"));
  if (named != trust_domain) {
    return Bad(absl::StrCat("is the bundle of trust domain '", named.substr(0, 80), "', not of '",
                            trust_domain, "'"));
  }
  RETURN_IF_ERROR(ReadExtension(*own, bundle));
  RETURN_IF_ERROR(ReadFederated(*own, bundle));
  return bundle;
}

absl::StatusOr<TrustBundle> FromPem(absl::string_view text, absl::string_view trust_domain,
                                    absl::string_view name) {
  TrustBundle bundle{.trust_domain = std::string(trust_domain), .roots = {}};
  ASSIGN_OR_RETURN(const X509StackPtr roots,
                   ReadCertificates(std::string(text), std::string(name)));
  for (int i = 0; i < sk_X509_num(roots.get()); ++i) {
    const absl::Status signer = CheckSigner(sk_X509_value(roots.get(), i), trust_domain);
    if (!signer.ok()) return Annotate(signer, absl::StrCat(name, ": certificate ", i + 1));
    ASSIGN_OR_RETURN(const std::string pem, WriteCertificate(sk_X509_value(roots.get(), i)));
    bundle.roots += pem;
  }
  return bundle;
}

absl::StatusOr<json::object> ToDocument(const TrustBundle& bundle) {
  ASSIGN_OR_RETURN(const X509StackPtr roots, ReadCertificates(bundle.roots, "roots"));
  json::array keys;
  for (int i = 0; i < sk_X509_num(roots.get()); ++i) {
    X509* root = sk_X509_value(roots.get(), i);
    RETURN_IF_ERROR(CheckSigner(root, bundle.trust_domain));
    ASSIGN_OR_RETURN(const PublicKey key, ToPublicKey(X509_get0_pubkey(root)));
    ASSIGN_OR_RETURN(json::object jwk, KeyToJwk(key));
    ASSIGN_OR_RETURN(const std::string der, DerOf(root));
    jwk["use"] = json::string_view(kUse.data(), kUse.size());
    jwk["x5c"] = json::array{absl::Base64Escape(der)};
    keys.push_back(std::move(jwk));
  }
  json::object document{{"keys", std::move(keys)}, {"spiffe_sequence", bundle.sequence}};
  if (bundle.refresh_hint.count() > 0) {
    document["spiffe_refresh_hint"] = bundle.refresh_hint.count();
  }
  return document;
}

}  // namespace

absl::StatusOr<TrustBundle> ParseTrustBundle(absl::string_view text, absl::string_view trust_domain,
                                             absl::string_view name) {
  if (text.size() > kMaxTrustBundleSize) {
    return Bad(absl::StrCat(name, ": larger than ", kMaxTrustBundleSize, " bytes"));
  }
  if (!absl::StartsWith(absl::StripLeadingAsciiWhitespace(text), "{")) {
    return FromPem(text, trust_domain, name);
  }
  absl::StatusOr<TrustBundle> bundle = FromJson(text, trust_domain);
  if (!bundle.ok()) return Annotate(bundle.status(), name);
  return bundle;
}

absl::StatusOr<std::string> WriteTrustBundle(const TrustBundle& bundle) {
  ASSIGN_OR_RETURN(json::object document, ToDocument(bundle));
  json::object federated;
  for (const TrustBundle& other : bundle.federated) {
    ASSIGN_OR_RETURN(json::object inner, ToDocument(other));
    federated[other.trust_domain] = std::move(inner);
  }
  json::object own = WriteExtension(bundle);
  own["federated"] = std::move(federated);
  document["tombolo"] = std::move(own);
  return json::serialize(document) + "\n";
}

}  // namespace tombolo::tls
