// SPDX-License-Identifier: Apache-2.0
#include "tls/json.h"

#include <cmath>

#include <boost/json/parse.hpp>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace tombolo::tls {
namespace {

namespace json = boost::json;

constexpr std::size_t kMaxDepth = 16;

absl::Status WrongType(absl::string_view name, absl::string_view wanted) {
  return absl::InvalidArgumentError(absl::StrCat("'", name, "' is not ", wanted));
}

const json::value* Find(const json::object& object, absl::string_view name) {
  const json::value* found = object.if_contains({name.data(), name.size()});
  return found == nullptr || found->is_null() ? nullptr : found;
}

}  // namespace

absl::StatusOr<json::object> ParseJsonObject(absl::string_view text) {
  json::error_code error;
  json::parse_options options;
  options.max_depth = kMaxDepth;
  json::value value = json::parse({text.data(), text.size()}, error, {}, options);
  if (error) return absl::InvalidArgumentError(absl::StrCat("not JSON: ", error.message()));
  if (!value.is_object()) return absl::InvalidArgumentError("not a JSON object");
  return std::move(value.get_object());
}

absl::StatusOr<std::optional<std::string>> StringMember(const json::object& object,
                                                        absl::string_view name) {
  const json::value* found = Find(object, name);
  if (found == nullptr) return std::optional<std::string>();
  if (!found->is_string()) return WrongType(name, "a string");
  return std::optional<std::string>(std::string(found->get_string()));
}

absl::StatusOr<std::optional<std::uint64_t>> NumberMember(const json::object& object,
                                                          absl::string_view name,
                                                          std::uint64_t max) {
  const json::value* found = Find(object, name);
  if (found == nullptr) return std::optional<std::uint64_t>();
  std::optional<std::uint64_t> number;
  if (found->is_uint64()) number = found->get_uint64();
  if (found->is_int64() && found->get_int64() >= 0) {
    number = static_cast<std::uint64_t>(found->get_int64());
  }
  // Below 2^63, or the conversion is undefined; no NaN gets past the comparison.
  if (found->is_double() && found->get_double() >= 0 && found->get_double() < 0x1p63) {
    number = static_cast<std::uint64_t>(found->get_double());
  }
  if (!number || *number > max) return WrongType(name, absl::StrCat("a number from 0 to ", max));
  return number;
}

absl::StatusOr<const json::object*> ObjectMember(const json::object& object,
                                                 absl::string_view name) {
  const json::value* found = Find(object, name);
  if (found == nullptr) return nullptr;
  if (!found->is_object()) return WrongType(name, "an object");
  return &found->get_object();
}

absl::StatusOr<const json::array*> ArrayMember(const json::object& object, absl::string_view name) {
  const json::value* found = Find(object, name);
  if (found == nullptr) return nullptr;
  if (!found->is_array()) return WrongType(name, "a list");
  return &found->get_array();
}

absl::StatusOr<std::string> NeedString(const json::object& object, absl::string_view name) {
  ASSIGN_OR_RETURN(std::optional<std::string> text, StringMember(object, name));
  if (!text || text->empty()) return absl::InvalidArgumentError(absl::StrCat("no '", name, "'"));
  return *std::move(text);
}

}  // namespace tombolo::tls
