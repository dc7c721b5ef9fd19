// SPDX-License-Identifier: Apache-2.0
#include "tls/issuer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
#include "tls/cluster_bindings.h"
#include "tls/issuer_impl.h"
#include "tls/key_impl.h"
#include "tls/pem.h"
#include "tls/svid.h"
#include "tls/x509_builder.h"

namespace tombolo::tls {
namespace {

constexpr std::size_t kMaxClusterName = 63;  // a label of the tunnels' SNI
constexpr std::size_t kMaxHost = 253;
constexpr std::size_t kMaxHosts = 32;

// The trust domain of a signing certificate: its one URI name.
absl::StatusOr<std::string> TrustDomainOf(const X509* signer) {
  const GeneralNamesPtr names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(signer, NID_subject_alt_name, nullptr, nullptr)));
  if (names == nullptr || sk_GENERAL_NAME_num(names.get()) != 1 ||
      sk_GENERAL_NAME_value(names.get(), 0)->type != GEN_URI) {
    return absl::InvalidArgumentError("certificate does not name a trust domain by one URI");
  }
  const ASN1_STRING* uri = sk_GENERAL_NAME_value(names.get(), 0)->d.uniformResourceIdentifier;
  const absl::string_view text(reinterpret_cast<const char*>(ASN1_STRING_get0_data(uri)),
                               static_cast<std::size_t>(ASN1_STRING_length(uri)));
  ASSIGN_OR_RETURN(const SpiffeId id, SpiffeId::Parse(text));
  return std::string(id.trust_domain());
}

// "IP:..." or "DNS:...", in the words of x509v3_config(5).
absl::StatusOr<std::string> HostName(const std::string& host) {
  const std::unique_ptr<ASN1_OCTET_STRING, Freer<ASN1_OCTET_STRING_free>> address(
      a2i_IPADDRESS(host.c_str()));
  const bool printable = std::all_of(host.begin(), host.end(), [](char c) {
    return absl::ascii_isalnum(c) || c == '-' || c == '.' || c == ':';
  });
  // A text with anything else in it could add a name of its own.
  if (printable && address != nullptr) return absl::StrCat("IP:", host);
  bool good = printable && host.size() <= kMaxHost && host.find(':') == std::string::npos;
  for (const absl::string_view label : absl::StrSplit(host, '.')) {
    good =
        good && !label.empty() && label.size() <= 63 && label.front() != '-' && label.back() != '-';
  }
  if (!good) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", host.substr(0, 80), "' is neither a DNS name nor an IP address"));
  }
  return absl::StrCat("DNS:", host);
}

absl::StatusOr<std::string> NamesOf(const Leaf& leaf) {
  if (!leaf.hosts.empty() && leaf.id.name().kind != SpiffeId::Kind::kAuthority) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", leaf.id.text(), "' may not have the names of hosts"));
  }
  if (leaf.hosts.size() > kMaxHosts) {
    return absl::InvalidArgumentError(absl::StrCat("more than ", kMaxHosts, " names of hosts"));
  }
  std::string names = absl::StrCat("URI:", leaf.id.text());
  for (const std::string& host : leaf.hosts) {
    ASSIGN_OR_RETURN(const std::string name, HostName(host));
    absl::StrAppend(&names, ",", name);
  }
  return names;
}

bool IsSelfSigned(const X509* certificate) {
  return X509_NAME_cmp(X509_get_subject_name(certificate), X509_get_issuer_name(certificate)) == 0;
}

absl::Status ReadChain(const STACK_OF(X509) * chain, Issuer::Impl& impl) {
  impl.not_after = WallTime::max();
  for (int i = 0; i < sk_X509_num(chain); ++i) {
    const X509* certificate = sk_X509_value(chain, i);
    RETURN_IF_ERROR(CheckSigner(certificate, impl.trust_domain));
    impl.not_after = std::min(impl.not_after, ToWallTime(X509_get0_notAfter(certificate)));
    ASSIGN_OR_RETURN(const std::string pem, WriteCertificate(certificate));
    if (i == 0) impl.pem = pem;
    if (!IsSelfSigned(certificate)) absl::StrAppend(&impl.chain, pem);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckClusterName(absl::string_view trust_domain, absl::string_view cluster) {
  if (cluster.size() > kMaxClusterName) {
    return absl::InvalidArgumentError(absl::StrCat("cluster '", cluster.substr(0, 80),
                                                   "' is longer than ", kMaxClusterName, " bytes"));
  }
  return SpiffeId::ForNode(trust_domain, cluster, "any").status();
}

absl::StatusOr<std::unique_ptr<Issuer>> Issuer::FromParts(const Parts& parts) {
  ASSIGN_OR_RETURN(const X509StackPtr chain, ReadCertificates(parts.chain, parts.chain_name));
  X509* own = sk_X509_value(chain.get(), 0);
  // By their bytes: verifiers know an authority by the digest of just these.
  if (KeyIdOf(own) != parts.key.public_key().id()) {
    return absl::InvalidArgumentError(
        absl::StrCat(parts.key_name, ": not the key of ", parts.chain_name));
  }
  std::string trust_domain = parts.trust_domain;
  if (trust_domain.empty()) {
    absl::StatusOr<std::string> named = TrustDomainOf(own);
    if (!named.ok()) return Annotate(named.status(), parts.chain_name);
    trust_domain = *std::move(named);
  }
  auto impl = std::make_unique<Impl>(Impl{.certificate = X509Ptr(sk_X509_shift(chain.get())),
                                          .key = parts.key,
                                          .trust_domain = std::move(trust_domain),
                                          .cluster = parts.cluster});
  sk_X509_unshift(chain.get(), X509_dup(impl->certificate.get()));
  if (absl::Status read = ReadChain(chain.get(), *impl); !read.ok()) {
    return Annotate(read, parts.chain_name);
  }
  return std::unique_ptr<Issuer>(new Issuer(std::move(impl)));
}

absl::StatusOr<std::unique_ptr<Issuer>> Issuer::FromPem(const Pem& pem) {
  // The certificate first: a mistaken file is better called by its own name.
  RETURN_IF_ERROR(ReadCertificates(pem.certificate, pem.certificate_name).status());
  ASSIGN_OR_RETURN(SigningKey key, SigningKey::FromPem(pem.key, pem.key_name));
  return FromParts({.chain = pem.certificate,
                    .chain_name = pem.certificate_name,
                    .key = std::move(key),
                    .key_name = pem.key_name});
}

Issuer::Issuer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Issuer::~Issuer() = default;
const std::string& Issuer::trust_domain() const { return impl_->trust_domain; }
WallTime Issuer::not_after() const { return impl_->not_after; }
const PublicKey& Issuer::public_key() const { return impl_->key.public_key(); }
const std::string& Issuer::certificate() const { return impl_->pem; }
const std::string& Issuer::chain() const { return impl_->chain; }

absl::StatusOr<std::string> Issuer::IssueLeaf(const Leaf& leaf) const {
  if (leaf.id.trust_domain() != impl_->trust_domain || leaf.id.path().empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "'", leaf.id.text(), "' is not a workload of trust domain '", impl_->trust_domain, "'"));
  }
  if (impl_->cluster) RETURN_IF_ERROR(CheckBinding(*impl_->cluster, leaf.id));
  if (leaf.validity.not_after > impl_->not_after) {
    return absl::FailedPreconditionError("the certificate would outlive its issuer");
  }
  ASSIGN_OR_RETURN(const std::string names, NamesOf(leaf));
  ASSIGN_OR_RETURN(const X509Ptr made, NewCertificate(leaf.key, leaf.serial, leaf.validity));
  RETURN_IF_ERROR(SetSubject(X509_get_subject_name(made.get()), {}));
  X509* issuer = impl_->certificate.get();
  if (X509_set_issuer_name(made.get(), X509_get_subject_name(issuer)) != 1) {
    return BuildError("set issuer");
  }
  RETURN_IF_ERROR(AddExtensions(made.get(), issuer,
                                {{NID_basic_constraints, "critical,CA:FALSE"},
                                 {NID_key_usage, "critical,digitalSignature"},
                                 {NID_ext_key_usage, "serverAuth,clientAuth"},
                                 {NID_subject_key_identifier, "hash"},
                                 {NID_authority_key_identifier, "keyid:always"},
                                 {NID_subject_alt_name, names}}));
  return SignCertificate(made.get(), impl_->key);
}

absl::StatusOr<std::string> Issuer::IssueSvid(const SpiffeId& id, const std::string& key,
                                              Validity validity) const {
  ASSIGN_OR_RETURN(const SigningKey own, SigningKey::FromPem(key, "key"));
  return IssueLeaf({.id = id, .key = own.public_key(), .validity = validity});
}

absl::StatusOr<std::string> Issuer::IssueIntermediate(const Intermediate& intermediate) const {
  X509* issuer = impl_->certificate.get();
  const long depth = X509_get_pathlen(issuer);  // -1: no limit
  if (depth == 0 || impl_->cluster) {
    return absl::FailedPreconditionError("this authority may not sign for other authorities");
  }
  if (intermediate.validity.not_after > impl_->not_after) {
    return absl::FailedPreconditionError("the certificate would outlive its issuer");
  }
  if (!intermediate.cluster.empty()) {
    RETURN_IF_ERROR(CheckClusterName(impl_->trust_domain, intermediate.cluster));
  }
  ASSIGN_OR_RETURN(const X509Ptr made,
                   NewCertificate(intermediate.key, intermediate.serial, intermediate.validity));
  RETURN_IF_ERROR(SetSubject(
      X509_get_subject_name(made.get()),
      {.unit = intermediate.cluster,
       .common_name = absl::StrCat("intermediate ", intermediate.serial.hex().substr(0, 16))}));
  if (X509_set_issuer_name(made.get(), X509_get_subject_name(issuer)) != 1) {
    return BuildError("set issuer");
  }
  RETURN_IF_ERROR(
      AddExtensions(made.get(), issuer,
                    {{NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
                     {NID_key_usage, "critical,keyCertSign,cRLSign"},
                     {NID_subject_key_identifier, "hash"},
                     {NID_authority_key_identifier, "keyid:always"},
                     {NID_subject_alt_name, absl::StrCat("URI:spiffe://", impl_->trust_domain)}}));
  return SignCertificate(made.get(), impl_->key);
}

}  // namespace tombolo::tls
