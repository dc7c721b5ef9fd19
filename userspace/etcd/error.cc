// SPDX-License-Identifier: Apache-2.0
#include <optional>
#include <utility>

#include <boost/json/object.hpp>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "etcd/json.h"
#include "etcd/messages.h"

namespace tombolo::etcd {
namespace {

namespace json = boost::json;

// gRPC's numbers.
enum Code : std::int64_t {
  kInvalidArgument = 3,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kOutOfRange = 11,
  kUnimplemented = 12,
  kUnavailable = 14,
  kDataLoss = 15,
  kUnauthenticated = 16,
};

// A request that never became a proposal. Everything else that etcd calls
// unavailable may come behind one: a timeout, a stop, a change of the leader.
bool IsRefusal(absl::string_view message) {
  return absl::StrContains(message, "etcdserver: no leader") ||
         absl::StrContains(message, "etcdserver: rpc not supported for learner") ||
         absl::StrContains(message, "etcdserver: not capable");
}

absl::StatusCode ExhaustedCode(absl::string_view message) {
  if (absl::StrContains(message, "too many requests")) return absl::StatusCode::kUnavailable;
  if (absl::StrContains(message, "message larger than max")) {
    return absl::StatusCode::kResourceExhausted;
  }
  // "database space exceeded": the change with which it is found out is made all
  // the same.
  return absl::StatusCode::kUnknown;
}

absl::StatusCode CodeOf(std::int64_t code, absl::string_view message) {
  switch (code) {
    case kInvalidArgument:
      return absl::StatusCode::kInvalidArgument;
    case kPermissionDenied:
    case kUnauthenticated:
      return absl::StatusCode::kPermissionDenied;
    case kResourceExhausted:
      return ExhaustedCode(message);
    case kFailedPrecondition:
    case kUnimplemented:
      return absl::StatusCode::kFailedPrecondition;
    case kOutOfRange:  // a revision that was compacted away meanwhile
      return absl::StatusCode::kUnavailable;
    case kUnavailable:
      return IsRefusal(message) ? absl::StatusCode::kUnavailable : absl::StatusCode::kUnknown;
    case kDataLoss:
      return absl::StatusCode::kDataLoss;
    default:
      return absl::StatusCode::kUnknown;
  }
}

// The error's number and text; versions differ in what they call the text.
std::optional<std::pair<std::int64_t, std::string>> ParseError(absl::string_view body) {
  const absl::StatusOr<json::object> object = ParseObject(body);
  if (!object.ok()) return std::nullopt;
  const json::value* code = object->if_contains("code");
  const json::value* message = object->if_contains("message");
  if (message == nullptr) message = object->if_contains("error");
  if (code == nullptr || !code->is_int64() || message == nullptr || !message->is_string()) {
    return std::nullopt;
  }
  return std::make_pair(code->get_int64(), std::string(message->get_string()));
}

// From something before etcd, or that is no etcd.
absl::Status StrangeError(unsigned status) {
  const std::string what = absl::StrCat("HTTP status ", status);
  const bool passing = status == 408 || status == 429;
  if (status < 400 || status >= 500 || passing) return absl::UnknownError(what);
  return absl::FailedPreconditionError(
      absl::StrCat(what, ": is this an etcd (3.4 or later) with its JSON gateway?"));
}

}  // namespace

absl::Status ErrorOf(unsigned status, absl::string_view body) {
  const auto error = ParseError(body);
  if (!error) return StrangeError(status);
  return absl::Status(CodeOf(error->first, error->second), error->second);
}

}  // namespace tombolo::etcd
