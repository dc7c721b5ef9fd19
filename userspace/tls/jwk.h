// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/object.hpp>

#include "absl/status/statusor.h"
#include "tls/public_key.h"

// JSON Web Keys (RFC 7517, RFC 7518 section 6). Internal to tls.
namespace tombolo::tls {

// An RSA or EC public key; checked as every public key is. InvalidArgument says what is wrong.
absl::StatusOr<PublicKey> KeyFromJwk(const boost::json::object& jwk);

// kty and the members that make up the key.
absl::StatusOr<boost::json::object> KeyToJwk(const PublicKey& key);

}  // namespace tombolo::tls
