// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include <openssl/x509.h>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/spiffe_id.h"
#include "tls/cluster_bindings.h"

// The X.509-SVID standard (SPIFFE X509-SVID.md, sections 2 to 5) as pure
// functions. Internal to tls and to tests.
namespace tombolo::tls {

// The identity of a leaf, if it is a well-formed SVID: exactly one URI SAN, a
// SPIFFE ID with a path; not a CA; keyUsage critical with digitalSignature and
// neither keyCertSign nor cRLSign; extended key usage, when there is one, with
// serverAuth and clientAuth. Says nothing about who signed it.
absl::StatusOr<SpiffeId> LeafIdentity(const X509* leaf);

// Whether a certificate may sign SVIDs of `trust_domain`: a CA with
// keyCertSign, and no other SPIFFE ID than the trust domain's own.
absl::Status CheckSigner(const X509* signer, absl::string_view trust_domain);

// Runs X509_verify_cert on `context` and then the two checks above, and whether
// the certificate that signed the leaf is bound to what the leaf names (not
// set: nothing is bound). The error carries a HandshakeFailure, and `context` the
// X509_V_ERR that OpenSSL turns into the right alert.
absl::StatusOr<SpiffeId> VerifyChain(X509_STORE_CTX* context, absl::string_view trust_domain,
                                     const std::optional<ClusterBindings>& bindings);

}  // namespace tombolo::tls
