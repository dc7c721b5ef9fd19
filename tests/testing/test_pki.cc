// SPDX-License-Identifier: Apache-2.0
#include "testing/test_pki.h"

#include <cstdio>
#include <cstdlib>
#include <utility>

#include "tls/openssl.h"
#include "tls/pem.h"

namespace tombolo::testing {
namespace {

template <typename T>
T Must(absl::StatusOr<T> value) {
  if (value.ok()) return *std::move(value);
  std::fprintf(stderr, "test_pki: %s\n", value.status().ToString().c_str());
  std::abort();
}

void Remove(X509* certificate, int nid) {
  X509_EXTENSION_free(X509_delete_ext(certificate, X509_get_ext_by_NID(certificate, nid, -1)));
}

void Replace(X509* certificate, int nid, const std::string& value) {
  Remove(certificate, nid);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, nid, value.c_str());
  if (extension == nullptr || X509_add_ext(certificate, extension, -1) != 1) std::abort();
  X509_EXTENSION_free(extension);
}

void Break(X509* leaf, Flaw flaw, const std::string& trust_domain, const std::string& id) {
  switch (flaw) {
    case Flaw::kNone:
      return;
    case Flaw::kExpired:
      X509_gmtime_adj(X509_getm_notBefore(leaf), -7200);
      X509_gmtime_adj(X509_getm_notAfter(leaf), -3600);
      return;
    case Flaw::kNotYetValid:
      X509_gmtime_adj(X509_getm_notBefore(leaf), 600);
      return;
    case Flaw::kOtherTrustDomain:
      return Replace(leaf, NID_subject_alt_name, "URI:spiffe://other.example/a");
    case Flaw::kTwoUriNames:
      return Replace(leaf, NID_subject_alt_name, "URI:" + id + ",URI:" + id + "2");
    case Flaw::kNoUriName:
      return Replace(leaf, NID_subject_alt_name, "DNS:a.test.example");
    case Flaw::kNotSpiffe:
      return Replace(leaf, NID_subject_alt_name, "URI:https://" + trust_domain + "/a");
    case Flaw::kNoPath:
      return Replace(leaf, NID_subject_alt_name, "URI:spiffe://" + trust_domain);
    case Flaw::kCa:
      return Replace(leaf, NID_basic_constraints, "critical,CA:TRUE");
    case Flaw::kKeyCertSign:
      return Replace(leaf, NID_key_usage, "critical,digitalSignature,keyCertSign");
    case Flaw::kNoDigitalSignature:
      return Replace(leaf, NID_key_usage, "critical,keyAgreement");
    case Flaw::kNoKeyUsage:
      return Remove(leaf, NID_key_usage);
    case Flaw::kKeyUsageNotCritical:
      return Replace(leaf, NID_key_usage, "digitalSignature");
    case Flaw::kOnlyServerAuth:
      return Replace(leaf, NID_ext_key_usage, "serverAuth");
    case Flaw::kOnlyClientAuth:
      return Replace(leaf, NID_ext_key_usage, "clientAuth");
  }
}

}  // namespace

TestPki::TestPki(const std::string& trust_domain)
    : trust_domain_(trust_domain),
      key_(Must(tls::GenerateKey())),
      root_(Must(
          tls::CreateRoot(trust_domain, key_, tls::Validity::FromNow(std::chrono::hours(24))))),
      issuer_(Must(tls::Issuer::FromPem({.certificate = root_,
                                         .key = key_,
                                         .certificate_name = "root.pem",
                                         .key_name = "root.key"}))) {}

SpiffeId TestPki::Id(const std::string& path) const {
  return Must(SpiffeId::Parse("spiffe://" + trust_domain_ + path));
}

tls::Credentials::Pem TestPki::Issue(const std::string& path, Flaw flaw) const {
  const SpiffeId id = Id(path);
  const std::string key = Must(tls::GenerateKey());
  const std::string good =
      Must(issuer_->IssueSvid(id, key, tls::Validity::FromNow(std::chrono::hours(1))));
  const tls::X509StackPtr chain = Must(tls::ReadCertificates(good, "svid.pem"));
  const tls::KeyPtr root_key = Must(tls::ReadKey(key_, "root.key"));
  X509* leaf = sk_X509_value(chain.get(), 0);
  Break(leaf, flaw, trust_domain_, id.text());
  if (X509_sign(leaf, root_key.get(), EVP_sha256()) == 0) std::abort();
  return {.chain = Must(tls::WriteCertificate(leaf)),
          .key = key,
          .bundle = root_,
          .chain_name = "svid.pem",
          .key_name = "key.pem",
          .bundle_name = "bundle.pem"};
}

tls::CredentialsPtr TestPki::Credentials(const std::string& path) const {
  return Must(tls::Credentials::FromPem(Issue(path)));
}

}  // namespace tombolo::testing
