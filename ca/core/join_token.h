// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/spiffe_id.h"
#include "base/time.h"
#include "ledger/records.h"

// Join tokens: "tbj_" and 256 random bits. Whoever shows one first gets the one certificate that it
// is for, and gets it again, for the same key, until the token expires: the answer may be lost. The
// ledger has its digest only, so who reads the store cannot join.
namespace tombolo::ca {

inline constexpr char kJoinTokenPrefix[] = "tbj_";

std::string NewJoinToken();

// Whether a bearer token is meant as a join token; a service account's never begins so.
bool IsJoinToken(absl::string_view text);

// What the ledger knows it by.
std::string JoinTokenDigest(absl::string_view text);

// The record of a token for `id`. InvalidArgument when that is no node, gateway or workload of
// `trust_domain`.
absl::StatusOr<Token> MakeTokenRecord(absl::string_view text, const SpiffeId& id,
                                      absl::string_view trust_domain, WallTime expires);

}  // namespace tombolo::ca
