// SPDX-License-Identifier: Apache-2.0
#include "etcd/json.h"

#include <utility>

#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace tombolo::etcd {
namespace {

namespace json = boost::json;

constexpr std::size_t kMaxDepth = 8;

const json::value* Find(const json::object& object, absl::string_view name) {
  return object.if_contains({name.data(), name.size()});
}

absl::string_view View(const json::string& text) { return {text.data(), text.size()}; }

template <typename Number>
absl::StatusOr<Number> StringNumber(const json::object& object, absl::string_view name) {
  const json::value* value = Find(object, name);
  if (value == nullptr) return Number{0};
  Number number = 0;
  if (value->is_string() && absl::SimpleAtoi(View(value->get_string()), &number) && number >= 0) {
    return number;
  }
  return BadAnswer(absl::StrCat("'", name, "' is not a number in a string, 0 or above"));
}

}  // namespace

absl::Status BadAnswer(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("not an answer of etcd: ", what));
}

absl::StatusOr<json::object> ParseObject(absl::string_view text) {
  json::error_code error;
  json::parse_options options;
  options.max_depth = kMaxDepth;
  json::value value = json::parse({text.data(), text.size()}, error, {}, options);
  if (error) return BadAnswer(error.message());
  if (!value.is_object()) return BadAnswer("no JSON object");
  return std::move(value.get_object());
}

absl::StatusOr<bool> FlagOf(const json::object& object, absl::string_view name) {
  const json::value* value = Find(object, name);
  if (value == nullptr) return false;
  if (value->is_bool()) return value->get_bool();
  return BadAnswer(absl::StrCat("'", name, "' is neither true nor false"));
}

absl::StatusOr<std::string> BytesOf(const json::object& object, absl::string_view name) {
  const json::value* value = Find(object, name);
  if (value == nullptr) return std::string();
  std::string bytes;
  if (value->is_string()) {
    const absl::string_view text = View(value->get_string());
    if (absl::Base64Unescape(text, &bytes) && absl::Base64Escape(bytes) == text) return bytes;
  }
  return BadAnswer(absl::StrCat("'", name, "' is not base64"));
}

absl::StatusOr<std::string> TextOf(const json::object& object, absl::string_view name) {
  const json::value* value = Find(object, name);
  if (value == nullptr) return std::string();
  if (value->is_string()) return std::string(View(value->get_string()));
  return BadAnswer(absl::StrCat("'", name, "' is not a text"));
}

absl::StatusOr<std::int64_t> NumberOf(const json::object& object, absl::string_view name) {
  return StringNumber<std::int64_t>(object, name);
}

absl::StatusOr<const json::object*> ObjectOf(const json::object& object, absl::string_view name) {
  const json::value* value = Find(object, name);
  if (value == nullptr) return nullptr;
  if (value->is_object()) return &value->get_object();
  return BadAnswer(absl::StrCat("'", name, "' is not an object"));
}

absl::StatusOr<std::vector<const json::object*>> ObjectsOf(const json::object& object,
                                                           absl::string_view name) {
  std::vector<const json::object*> objects;
  const json::value* value = Find(object, name);
  if (value == nullptr) return objects;
  if (!value->is_array()) return BadAnswer(absl::StrCat("'", name, "' is not a list"));
  for (const json::value& entry : value->get_array()) {
    if (!entry.is_object()) return BadAnswer(absl::StrCat("'", name, "' has more than objects"));
    objects.push_back(&entry.get_object());
  }
  return objects;
}

absl::StatusOr<Header> HeaderOf(const json::object& object) {
  ASSIGN_OR_RETURN(const json::object* fields, ObjectOf(object, "header"));
  if (fields == nullptr) return BadAnswer("no 'header'");
  Header header;
  ASSIGN_OR_RETURN(header.cluster, StringNumber<std::uint64_t>(*fields, "cluster_id"));
  ASSIGN_OR_RETURN(header.member, StringNumber<std::uint64_t>(*fields, "member_id"));
  ASSIGN_OR_RETURN(header.term, StringNumber<std::uint64_t>(*fields, "raft_term"));
  ASSIGN_OR_RETURN(header.revision, NumberOf(*fields, "revision"));
  return header;
}

absl::StatusOr<KeyValue> DecodeKeyValue(const json::object& object) {
  KeyValue entry;
  ASSIGN_OR_RETURN(entry.key, BytesOf(object, "key"));
  ASSIGN_OR_RETURN(entry.value, BytesOf(object, "value"));
  ASSIGN_OR_RETURN(entry.mod_revision, NumberOf(object, "mod_revision"));
  if (entry.mod_revision == 0) return BadAnswer("no 'mod_revision'");
  ASSIGN_OR_RETURN(entry.create_revision, NumberOf(object, "create_revision"));
  ASSIGN_OR_RETURN(entry.version, NumberOf(object, "version"));
  ASSIGN_OR_RETURN(entry.lease, NumberOf(object, "lease"));
  return entry;
}

}  // namespace tombolo::etcd
