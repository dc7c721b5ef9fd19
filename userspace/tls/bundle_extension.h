// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/object.hpp>

#include "absl/status/status.h"
#include "tls/trust_bundle.h"

// What a SPIFFE bundle document has no place for, and trust_bundle.h puts into its member
// "tombolo". Internal to tls.
namespace tombolo::tls {

// Reads 'authorities', 'tainted' and 'revoked' of that member into `bundle`. InvalidArgument says
// what is wrong with which.
absl::Status ReadExtension(const boost::json::object& own, TrustBundle& bundle);

// The member with those three, and the trust domain's name.
boost::json::object WriteExtension(const TrustBundle& bundle);

}  // namespace tombolo::tls
