// SPDX-License-Identifier: Apache-2.0
#include "etcd/lease_messages.h"

#include <algorithm>
#include <chrono>

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "etcd/json.h"

namespace tombolo::etcd {

namespace json = boost::json;

std::string EncodeGrant(Duration ttl) {
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(ttl).count();
  return json::serialize(json::object{{"TTL", absl::StrCat(std::max<std::int64_t>(seconds, 1))}});
}

std::string EncodeLease(std::int64_t lease) {
  return json::serialize(json::object{{"ID", absl::StrCat(lease)}});
}

absl::StatusOr<std::int64_t> DecodeGrant(absl::string_view body) {
  ASSIGN_OR_RETURN(const json::object object, ParseObject(body));
  ASSIGN_OR_RETURN(const std::int64_t lease, NumberOf(object, "ID"));
  if (lease == 0) return BadAnswer("no 'ID' of a lease");
  return lease;
}

// One message of a stream, because keeping alive is one.
absl::StatusOr<Duration> DecodeKeepAlive(absl::string_view body) {
  ASSIGN_OR_RETURN(const json::object object, ParseObject(body));
  ASSIGN_OR_RETURN(const json::object* error, ObjectOf(object, "error"));
  if (error != nullptr) return ErrorOf(*error);
  ASSIGN_OR_RETURN(const json::object* result, ObjectOf(object, "result"));
  if (result == nullptr) return BadAnswer("no 'result'");
  ASSIGN_OR_RETURN(const std::int64_t ttl, NumberOf(*result, "TTL"));
  if (ttl > 0) return Duration(std::chrono::seconds(ttl));
  return absl::NotFoundError("the lease has ended");
}

}  // namespace tombolo::etcd
