// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <boost/json/object.hpp>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "etcd/messages.h"

// The gateway's JSON: bytes are base64, numbers of 64 bits are strings, and what is empty,
// zero or false is left out. Errors are InvalidArgument. Internal to etcd.
namespace tombolo::etcd {

absl::Status BadAnswer(absl::string_view what);

absl::StatusOr<boost::json::object> ParseObject(absl::string_view text);

absl::StatusOr<bool> FlagOf(const boost::json::object& object, absl::string_view name);
absl::StatusOr<std::string> BytesOf(const boost::json::object& object, absl::string_view name);
absl::StatusOr<std::string> TextOf(const boost::json::object& object, absl::string_view name);
// 0 when it is not there.
absl::StatusOr<std::int64_t> NumberOf(const boost::json::object& object, absl::string_view name);
// Null when it is not there.
absl::StatusOr<const boost::json::object*> ObjectOf(const boost::json::object& object,
                                                    absl::string_view name);
absl::StatusOr<std::vector<const boost::json::object*>> ObjectsOf(const boost::json::object& object,
                                                                  absl::string_view name);

// What every answer begins with.
struct Header {
  std::uint64_t cluster = 0, member = 0, term = 0;
  std::int64_t revision = 0;  // > 0, unless the answer is about no keys
};
absl::StatusOr<Header> HeaderOf(const boost::json::object& object);

// An error in the middle of a stream, by the rules of ErrorOf() in messages.h.
absl::Status ErrorOf(const boost::json::object& error);

absl::StatusOr<KeyValue> DecodeKeyValue(const boost::json::object& object);

}  // namespace tombolo::etcd
