// SPDX-License-Identifier: Apache-2.0
#include "base/json_fields.h"

#include <utility>

#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace tombolo {
namespace {

namespace json = boost::json;

json::string_view ToJsonView(absl::string_view text) { return {text.data(), text.size()}; }

}  // namespace

JsonFields::JsonFields(absl::string_view text, std::string name) : name_(std::move(name)) {
  boost::system::error_code error;
  json::value value = json::parse(ToJsonView(text), error);
  if (error) {
    Fail(absl::StrCat("not JSON: ", error.message()));
  } else if (!value.is_object()) {
    Fail("not a JSON object");
  } else {
    object_ = std::move(value.get_object());
  }
}

bool JsonFields::Has(absl::string_view field) const { return object_.contains(ToJsonView(field)); }

std::string JsonFields::Text(absl::string_view field) {
  const json::value value = Take(field);
  if (value.is_string()) return std::string(value.get_string());
  Fail(absl::StrCat("'", field, "' is not a string"));
  return "";
}

std::int64_t JsonFields::Number(absl::string_view field) {
  const json::value value = Take(field);
  if (value.is_int64()) return value.get_int64();
  Fail(absl::StrCat("'", field, "' is not a whole number"));
  return 0;
}

bool JsonFields::Flag(absl::string_view field) {
  const json::value value = Take(field);
  if (value.is_bool()) return value.get_bool();
  Fail(absl::StrCat("'", field, "' is neither true nor false"));
  return false;
}

WallTime JsonFields::Time(absl::string_view field) {
  const std::string text = Text(field);
  if (const std::optional<WallTime> time = ParseTimeText(text)) return *time;
  Fail(absl::StrCat("'", field, "' is not a time: '", text, "'"));
  return {};
}

TextMap JsonFields::Map(absl::string_view field) {
  const json::value value = Take(field);
  TextMap map;
  if (!value.is_object()) Fail(absl::StrCat("'", field, "' is not an object"));
  if (!status_.ok()) return map;
  for (const json::key_value_pair& pair : value.get_object()) {
    if (!pair.value().is_string()) Fail(absl::StrCat("'", field, "' has more than strings"));
    if (!status_.ok()) return map;
    map.emplace(std::string(pair.key()), std::string(pair.value().get_string()));
  }
  return map;
}

std::vector<std::string> JsonFields::Texts(absl::string_view field) {
  const json::value value = Take(field);
  std::vector<std::string> texts;
  if (!value.is_array()) Fail(absl::StrCat("'", field, "' is not a list"));
  if (!status_.ok()) return texts;
  for (const json::value& item : value.get_array()) {
    if (!item.is_string()) Fail(absl::StrCat("'", field, "' has more than strings"));
    if (!status_.ok()) return texts;
    texts.emplace_back(item.get_string());
  }
  return texts;
}

std::vector<JsonFields> JsonFields::Objects(absl::string_view field) {
  json::value value = Take(field);
  std::vector<JsonFields> objects;
  if (!value.is_array()) Fail(absl::StrCat("'", field, "' is not a list"));
  if (!status_.ok()) return objects;
  for (json::value& item : value.get_array()) {
    if (!item.is_object()) Fail(absl::StrCat("'", field, "' has more than objects"));
    if (!status_.ok()) return {};
    objects.emplace_back(std::move(item.get_object()),
                         absl::StrCat(name_, ": ", field, "[", objects.size(), "]"));
  }
  return objects;
}

absl::Status JsonFields::Finish() {
  if (!object_.empty()) {
    Fail(absl::StrCat("unknown field '", std::string(object_.begin()->key()), "'"));
  }
  return status_;
}

json::value JsonFields::Take(absl::string_view field) {
  const auto found = object_.find(ToJsonView(field));
  if (found == object_.end()) {
    Fail(absl::StrCat("'", field, "' is missing"));
    return nullptr;
  }
  json::value value = std::move(found->value());
  object_.erase(found);
  return value;
}

void JsonFields::Fail(absl::string_view what) {
  if (status_.ok()) status_ = absl::DataLossError(absl::StrCat(name_, ": ", what));
}

std::string TimeText(WallTime time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E*SZ", absl::FromChrono(time), absl::UTCTimeZone());
}

std::optional<WallTime> ParseTimeText(absl::string_view text) {
  absl::Time time;
  std::string error;
  if (!absl::ParseTime(absl::RFC3339_full, text, &time, &error)) return std::nullopt;
  return absl::ToChronoTime(time);
}

json::object ToJson(const TextMap& map) {
  json::object object;
  for (const auto& [name, value] : map) object[name] = value;
  return object;
}

}  // namespace tombolo
