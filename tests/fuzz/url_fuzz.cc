// SPDX-License-Identifier: Apache-2.0
// URLs of strangers and of files: where a server is, a SPIFFE ID, an address. What is accepted
// comes back the same when it is written and read again, and its parts are nothing but themselves.
#include <cstdint>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "base/spiffe_id.h"
#include "net/address.h"
#include "net/https_url.h"

namespace {

using tombolo::SpiffeId;

void Require(bool holds) {
  if (!holds) std::abort();
}

void CheckServer(absl::string_view text) {
  const auto url = tombolo::net::HttpsUrl::Parse(text);
  if (!url.ok()) return;
  Require(!url->host.empty() && url->port != 0);
  Require(url->host.find_first_of("/?#@[] \r\n") == std::string::npos);
  const auto again = tombolo::net::HttpsUrl::Parse(url->ToString());
  Require(again.ok() && *again == *url);
}

// The forms of its path are the only ones that are found again.
void CheckName(const SpiffeId& id) {
  const SpiffeId::Name name = id.name();
  if (name.kind == SpiffeId::Kind::kNode) {
    const auto node = SpiffeId::ForNode(id.trust_domain(), name.cluster, name.node);
    Require(node.ok() && *node == id);
  }
  if (name.kind == SpiffeId::Kind::kWorkload) {
    const auto workload =
        SpiffeId::ForWorkload(id.trust_domain(), name.cluster, name.ns, name.service_account);
    Require(workload.ok() && *workload == id);
  }
  Require((name.kind == SpiffeId::Kind::kTrustDomain) == id.path().empty());
}

void CheckSpiffeId(absl::string_view text) {
  const auto id = SpiffeId::Parse(text);
  if (!id.ok()) return;
  Require(id->text() == text && !id->trust_domain().empty());
  Require(text == absl::StrCat("spiffe://", id->trust_domain(), id->path()));
  CheckName(*id);
}

void CheckAddress(absl::string_view text) {
  if (const auto address = tombolo::net::SocketAddress::Parse(text); address.ok()) {
    const auto again = tombolo::net::SocketAddress::Parse(address->ToString());
    Require(again.ok() && *again == *address);
  }
  if (const auto prefix = tombolo::net::Prefix::Parse(text); prefix.ok()) {
    const auto again = tombolo::net::Prefix::Parse(prefix->ToString());
    Require(again.ok() && *again == *prefix && prefix->Contains(prefix->ip));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  CheckServer(text);
  CheckSpiffeId(text);
  CheckAddress(text);
  return 0;
}
