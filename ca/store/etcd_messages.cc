// SPDX-License-Identifier: Apache-2.0
#include "store/etcd_messages.h"

#include <optional>
#include <utility>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace tombolo::ca {
namespace {

namespace json = boost::json;

constexpr std::size_t kMaxDepth = 8;

absl::Status Bad(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("not an answer of etcd: ", what));
}

absl::StatusOr<json::object> ParseObject(absl::string_view text) {
  json::error_code error;
  json::parse_options options;
  options.max_depth = kMaxDepth;
  json::value value = json::parse({text.data(), text.size()}, error, {}, options);
  if (error) return Bad(error.message());
  if (!value.is_object()) return Bad("no JSON object");
  return std::move(value.get_object());
}

const json::value* Find(const json::object& object, absl::string_view name) {
  return object.if_contains({name.data(), name.size()});
}

// The gateway leaves out what is empty, zero or false.
absl::StatusOr<bool> Flag(const json::object& object, absl::string_view name) {
  const json::value* value = Find(object, name);
  if (value == nullptr) return false;
  if (!value->is_bool()) return Bad(absl::StrCat("'", name, "' is neither true nor false"));
  return value->get_bool();
}

absl::StatusOr<std::string> Bytes(const json::object& object, absl::string_view name) {
  const json::value* value = Find(object, name);
  if (value == nullptr) return std::string();
  std::string bytes;
  if (value->is_string()) {
    const absl::string_view text(value->get_string().data(), value->get_string().size());
    if (absl::Base64Unescape(text, &bytes) && absl::Base64Escape(bytes) == text) return bytes;
  }
  return Bad(absl::StrCat("'", name, "' is not base64"));
}

// 64-bit numbers are strings in its JSON.
template <typename Number>
absl::StatusOr<Number> Positive(const json::object& object, absl::string_view name) {
  const json::value* value = Find(object, name);
  Number number = 0;
  if (value != nullptr && value->is_string() &&
      absl::SimpleAtoi(std::string(value->get_string()), &number) && number > 0) {
    return number;
  }
  return Bad(absl::StrCat("'", name, "' is not a number above 0 in a string"));
}

absl::StatusOr<const json::object*> Header(const json::object& object) {
  const json::value* header = Find(object, "header");
  if (header == nullptr || !header->is_object()) return Bad("no 'header'");
  return &header->get_object();
}

absl::StatusOr<Stored> DecodeEntry(const json::value& value) {
  if (!value.is_object()) return Bad("'kvs' has more than objects");
  const json::object& object = value.get_object();
  Stored stored;
  ASSIGN_OR_RETURN(stored.key, Bytes(object, "key"));
  ASSIGN_OR_RETURN(stored.value, Bytes(object, "value"));
  ASSIGN_OR_RETURN(stored.revision, Positive<std::int64_t>(object, "mod_revision"));
  return stored;
}

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
  const json::value* code = Find(*object, "code");
  const json::value* message = Find(*object, "message");
  if (message == nullptr) message = Find(*object, "error");
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

std::string Encode(const EtcdRange& range) {
  json::object object;
  object["key"] = absl::Base64Escape(range.key);
  if (!range.end.empty()) object["range_end"] = absl::Base64Escape(range.end);
  if (range.limit > 0) object["limit"] = absl::StrCat(range.limit);
  if (range.revision > 0) object["revision"] = absl::StrCat(range.revision);
  if (range.count_only) object["count_only"] = true;
  if (range.serializable) object["serializable"] = true;
  return json::serialize(object);
}

std::string Encode(const Transaction& transaction, absl::string_view prefix) {
  const auto key = [&](const std::string& text) {
    return absl::Base64Escape(absl::StrCat(prefix, text));
  };
  json::array compare;
  json::array success;
  for (const Transaction::Condition& condition : transaction.conditions) {
    compare.push_back(json::object{{"target", "MOD"},
                                   {"result", "EQUAL"},
                                   {"key", key(condition.key)},
                                   {"mod_revision", absl::StrCat(condition.revision)}});
  }
  for (const Transaction::Put& put : transaction.puts) {
    json::object changed{{"key", key(put.key)}, {"value", absl::Base64Escape(put.value)}};
    success.push_back(json::object{{"request_put", std::move(changed)}});
  }
  for (const std::string& deleted : transaction.deletes) {
    success.push_back(json::object{{"request_delete_range", json::object{{"key", key(deleted)}}}});
  }
  return json::serialize(
      json::object{{"compare", std::move(compare)}, {"success", std::move(success)}});
}

absl::StatusOr<EtcdRangeAnswer> DecodeRange(absl::string_view body) {
  ASSIGN_OR_RETURN(const json::object object, ParseObject(body));
  EtcdRangeAnswer answer;
  ASSIGN_OR_RETURN(const json::object* header, Header(object));
  ASSIGN_OR_RETURN(answer.cluster, Positive<std::uint64_t>(*header, "cluster_id"));
  ASSIGN_OR_RETURN(answer.revision, Positive<std::int64_t>(*header, "revision"));
  ASSIGN_OR_RETURN(answer.more, Flag(object, "more"));
  const json::value* entries = Find(object, "kvs");
  if (entries == nullptr) return answer;
  if (!entries->is_array()) return Bad("'kvs' is not a list");
  for (const json::value& entry : entries->get_array()) {
    ASSIGN_OR_RETURN(Stored stored, DecodeEntry(entry));
    answer.entries.push_back(std::move(stored));
  }
  return answer;
}

absl::StatusOr<EtcdTxnAnswer> DecodeTxn(absl::string_view body) {
  ASSIGN_OR_RETURN(const json::object object, ParseObject(body));
  EtcdTxnAnswer answer;
  ASSIGN_OR_RETURN(const json::object* header, Header(object));
  ASSIGN_OR_RETURN(answer.revision, Positive<std::int64_t>(*header, "revision"));
  ASSIGN_OR_RETURN(answer.succeeded, Flag(object, "succeeded"));
  return answer;
}

absl::Status EtcdError(unsigned status, absl::string_view body) {
  const auto error = ParseError(body);
  if (!error) return StrangeError(status);
  return absl::Status(CodeOf(error->first, error->second), error->second);
}

}  // namespace tombolo::ca
