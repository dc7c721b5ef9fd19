// SPDX-License-Identifier: Apache-2.0
#include "base/spiffe_id.h"

#include <initializer_list>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"

namespace tombolo {
namespace {

constexpr absl::string_view kScheme = "spiffe://";
constexpr absl::string_view kAuthorityPath = "/ca";
constexpr std::size_t kMaxLength = 2048;
constexpr std::size_t kMaxTrustDomainLength = 255;

absl::Status Invalid(absl::string_view text, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("SPIFFE ID '", text.substr(0, 200), "' ", why));
}

bool IsTrustDomainChar(char c) {
  return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '.' || c == '-' || c == '_';
}

bool IsPathChar(char c) { return absl::ascii_isalnum(c) || c == '.' || c == '-' || c == '_'; }

// A '/' inside a name would forge another path.
absl::Status CheckNames(std::initializer_list<absl::string_view> names) {
  for (const absl::string_view name : names) {
    if (name.find('/') != absl::string_view::npos) return Invalid(name, "has a '/' in a name");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SpiffeId> SpiffeId::Parse(absl::string_view text) {
  if (text.size() > kMaxLength) return Invalid(text, "is longer than 2048 bytes");
  if (text.substr(0, kScheme.size()) != kScheme)
    return Invalid(text, "does not begin with spiffe://");
  const absl::string_view rest = text.substr(kScheme.size());
  const absl::string_view domain = rest.substr(0, rest.find('/'));
  if (domain.empty()) return Invalid(text, "has no trust domain");
  if (domain.size() > kMaxTrustDomainLength) {
    return Invalid(text, "has a trust domain longer than 255 bytes");
  }
  for (const char c : domain) {
    if (!IsTrustDomainChar(c)) {
      return Invalid(text, "has a trust domain with a character other than [a-z0-9._-]");
    }
  }
  if (rest.size() == domain.size()) return SpiffeId(std::string(text));
  for (const absl::string_view segment : absl::StrSplit(rest.substr(domain.size() + 1), '/')) {
    if (segment.empty()) return Invalid(text, "has an empty path segment");
    if (segment == "." || segment == "..") return Invalid(text, "has a relative path segment");
    for (const char c : segment) {
      if (!IsPathChar(c)) return Invalid(text, "has a path character other than [a-zA-Z0-9._-]");
    }
  }
  return SpiffeId(std::string(text));
}

absl::StatusOr<SpiffeId> SpiffeId::ForWorkload(absl::string_view trust_domain,
                                               absl::string_view cluster, absl::string_view ns,
                                               absl::string_view service_account) {
  RETURN_IF_ERROR(CheckNames({trust_domain, cluster, ns, service_account}));
  return Parse(absl::StrCat(kScheme, trust_domain, "/cluster/", cluster, "/ns/", ns, "/sa/",
                            service_account));
}

absl::StatusOr<SpiffeId> SpiffeId::ForNode(absl::string_view trust_domain,
                                           absl::string_view cluster, absl::string_view node) {
  RETURN_IF_ERROR(CheckNames({trust_domain, cluster, node}));
  return Parse(absl::StrCat(kScheme, trust_domain, "/cluster/", cluster, "/node/", node));
}

absl::StatusOr<SpiffeId> SpiffeId::ForGateway(absl::string_view trust_domain,
                                              absl::string_view cluster,
                                              absl::string_view gateway) {
  RETURN_IF_ERROR(CheckNames({trust_domain, cluster, gateway}));
  return Parse(absl::StrCat(kScheme, trust_domain, "/cluster/", cluster, "/gateway/", gateway));
}

absl::StatusOr<SpiffeId> SpiffeId::ForAuthority(absl::string_view trust_domain) {
  RETURN_IF_ERROR(CheckNames({trust_domain}));
  return Parse(absl::StrCat(kScheme, trust_domain, kAuthorityPath));
}

absl::StatusOr<SpiffeId> SpiffeId::ForTrustDomain(absl::string_view trust_domain) {
  if (trust_domain.find('/') != absl::string_view::npos) {
    return absl::InvalidArgumentError(absl::StrCat("trust domain '", trust_domain, "' has a path"));
  }
  return Parse(absl::StrCat(kScheme, trust_domain));
}

absl::string_view SpiffeId::trust_domain() const {
  const absl::string_view rest =
      absl::string_view(text_).substr(text_.empty() ? 0 : kScheme.size());
  return rest.substr(0, rest.find('/'));
}

absl::string_view SpiffeId::path() const {
  if (text_.empty()) return {};
  return absl::string_view(text_).substr(kScheme.size() + trust_domain().size());
}

SpiffeId::Name SpiffeId::name() const {
  if (text_.empty()) return {};
  if (path().empty()) return {.kind = Kind::kTrustDomain};
  if (path() == kAuthorityPath) return {.kind = Kind::kAuthority};
  const std::vector<absl::string_view> part = absl::StrSplit(path().substr(1), '/');
  Name name;
  if (part.size() == 4 && part[0] == "cluster" && part[2] == "node") {
    name.kind = Kind::kNode;
    name.cluster = part[1];
    name.node = part[3];
  } else if (part.size() == 4 && part[0] == "cluster" && part[2] == "gateway") {
    name.kind = Kind::kGateway;
    name.cluster = part[1];
    name.gateway = part[3];
  } else if (part.size() == 6 && part[0] == "cluster" && part[2] == "ns" && part[4] == "sa") {
    name.kind = Kind::kWorkload;
    name.cluster = part[1];
    name.ns = part[3];
    name.service_account = part[5];
  }
  return name;
}

}  // namespace tombolo
