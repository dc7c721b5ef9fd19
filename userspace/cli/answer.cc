// SPDX-License-Identifier: Apache-2.0
#include "cli/answer.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/format.h"

namespace tombolo::cli {

namespace json = boost::json;

const json::value* Field(const json::value* value, std::string_view key) {
  if (value == nullptr || !value->is_object()) return nullptr;
  return value->get_object().if_contains(key);
}

const json::array& List(const json::value* value, std::string_view key) {
  static const json::array kEmpty;
  const json::value* field = Field(value, key);
  return field != nullptr && field->is_array() ? field->get_array() : kEmpty;
}

std::string TextOf(const json::value* value, std::string_view key) {
  return Text(Field(value, key));
}

bool IsTrue(const json::value* value, std::string_view key) {
  const json::value* field = Field(value, key);
  return field != nullptr && field->is_bool() && field->get_bool();
}

std::string Joined(const json::array& list, absl::string_view separator) {
  if (list.empty()) return Text(nullptr);
  return absl::StrJoin(list, separator, [](std::string* out, const json::value& item) {
    absl::StrAppend(out, Text(&item));
  });
}

}  // namespace tombolo::cli
