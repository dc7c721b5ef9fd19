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
  kNotFound = 5,
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

bool IsUnauthenticated(absl::string_view message) {
  return absl::StrContains(message, "etcdserver: user name is empty") ||
         absl::StrContains(message, "etcdserver: authentication failed") ||
         absl::StrContains(message, "etcdserver: revision of auth store is old");
}

absl::StatusCode PreconditionCode(absl::string_view message) {
  if (absl::StrContains(message, "already exists")) return absl::StatusCode::kAlreadyExists;
  if (absl::StrContains(message, "name not found")) return absl::StatusCode::kNotFound;
  return absl::StatusCode::kFailedPrecondition;
}

absl::StatusCode CodeOf(std::int64_t code, absl::string_view message) {
  switch (code) {
    case kInvalidArgument:
      return IsUnauthenticated(message) ? absl::StatusCode::kUnauthenticated
                                        : absl::StatusCode::kInvalidArgument;
    case kNotFound:
      return absl::StatusCode::kNotFound;
    case kPermissionDenied:
      return absl::StatusCode::kPermissionDenied;
    case kUnauthenticated:
      return absl::StatusCode::kUnauthenticated;
    case kResourceExhausted:
      return ExhaustedCode(message);
    case kFailedPrecondition:
      return PreconditionCode(message);
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

// The error's number and text; versions differ in what they call them.
std::optional<absl::Status> ParseError(const json::object& object) {
  const json::value* code = object.if_contains("code");
  if (code == nullptr) code = object.if_contains("grpc_code");
  const json::value* message = object.if_contains("message");
  if (message == nullptr) message = object.if_contains("error");
  if (code == nullptr || !code->is_int64() || message == nullptr || !message->is_string()) {
    return std::nullopt;
  }
  const std::string text(message->get_string());
  return absl::Status(CodeOf(code->get_int64(), text), text);
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
  const absl::StatusOr<json::object> object = ParseObject(body);
  if (!object.ok()) return StrangeError(status);
  // OK with an answer that is none would be nonsense.
  const std::optional<absl::Status> error = ParseError(*object);
  return error && !error->ok() ? *error : StrangeError(status);
}

absl::Status ErrorOf(const json::object& error) {
  const std::optional<absl::Status> parsed = ParseError(error);
  if (parsed && !parsed->ok()) return *parsed;
  return absl::UnknownError("an error that etcd does not explain");
}

}  // namespace tombolo::etcd
