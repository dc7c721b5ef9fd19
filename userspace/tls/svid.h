// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <openssl/x509.h>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/spiffe_id.h"
#include "tls/trust_anchors.h"
#include "tls/trust_bundle.h"

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

// Runs X509_verify_cert on `context`, whose roots are `bundle`'s, and then the two
// checks above, whether the certificate that signed the leaf is bound to what the
// leaf names, and whether the leaf is revoked. The error carries a
// HandshakeFailure, and `context` the X509_V_ERR that OpenSSL turns into the
// right alert.
absl::StatusOr<SpiffeId> VerifyChain(X509_STORE_CTX* context, const TrustBundle& bundle);

// The same for a peer that may also be of a trust domain that is federated: it is judged by that
// one's roots alone, and they vouch for nobody else. `context` has the roots of `anchors`, and
// borrows from it.
absl::StatusOr<SpiffeId> VerifyFederatedChain(X509_STORE_CTX* context, const TrustAnchors& anchors);

}  // namespace tombolo::tls
