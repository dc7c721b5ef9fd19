// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/time.h"

// What etcd is asked about leases, and answers. Internal to etcd.
namespace tombolo::etcd {

inline constexpr char kGrantPath[] = "/v3/lease/grant";
inline constexpr char kKeepAlivePath[] = "/v3/lease/keepalive";
inline constexpr char kRevokePath[] = "/v3/lease/revoke";

std::string EncodeGrant(Duration ttl);  // in seconds, rounded up
std::string EncodeLease(std::int64_t lease);

// InvalidArgument for what etcd does not answer.
absl::StatusOr<std::int64_t> DecodeGrant(absl::string_view body);
// NotFound: the lease has ended.
absl::StatusOr<Duration> DecodeKeepAlive(absl::string_view body);

}  // namespace tombolo::etcd
