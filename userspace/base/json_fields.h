// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <boost/json/object.hpp>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/time.h"

// Strict reading of records: what is not understood is an error.
namespace tombolo {

using TextMap = std::map<std::string, std::string>;

// The fields of one JSON object, each read once. Remembers the first thing that
// is wrong, and reads as empty from then on; Finish() tells.
class JsonFields {
 public:
  // `name` is the key of the record that errors mention.
  JsonFields(absl::string_view text, std::string name);
  JsonFields(boost::json::object object, std::string name)
      : name_(std::move(name)), object_(std::move(object)) {}

  bool Has(absl::string_view field) const;
  std::string Text(absl::string_view field);
  std::int64_t Number(absl::string_view field);
  bool Flag(absl::string_view field);
  WallTime Time(absl::string_view field);
  TextMap Map(absl::string_view field);
  std::vector<std::string> Texts(absl::string_view field);
  // A list of objects, each to be finished by itself. Errors call them "name: field[0]".
  std::vector<JsonFields> Objects(absl::string_view field);

  // For a value that has the right type, and is wrong nevertheless.
  void Fail(absl::string_view what);
  // Nothing was wrong up to now.
  bool ok() const { return status_.ok(); }
  // DataLoss: what was wrong, or a field that nobody has read.
  absl::Status Finish();

 private:
  boost::json::value Take(absl::string_view field);

  std::string name_;
  boost::json::object object_;
  absl::Status status_;
};

// RFC 3339 in UTC, as precise as WallTime is.
std::string TimeText(WallTime time);
std::optional<WallTime> ParseTimeText(absl::string_view text);

boost::json::object ToJson(const TextMap& map);

}  // namespace tombolo
