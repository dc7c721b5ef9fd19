// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <boost/json/object.hpp>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

// Reading JSON that others wrote. What is absent is no error here, what has the wrong type always
// is; errors are InvalidArgument and name the member. Internal to tls.
namespace tombolo::tls {

// One object and nothing after it, at most 16 levels deep.
absl::StatusOr<boost::json::object> ParseJsonObject(absl::string_view text);

absl::StatusOr<std::optional<std::string>> StringMember(const boost::json::object& object,
                                                        absl::string_view name);
// A number of any notation, from 0 to `max`; a fraction is cut off.
absl::StatusOr<std::optional<std::uint64_t>> NumberMember(const boost::json::object& object,
                                                          absl::string_view name,
                                                          std::uint64_t max);
// Null when absent, or when it is JSON's null.
absl::StatusOr<const boost::json::object*> ObjectMember(const boost::json::object& object,
                                                        absl::string_view name);
absl::StatusOr<const boost::json::array*> ArrayMember(const boost::json::object& object,
                                                      absl::string_view name);

// For members that have to be there.
absl::StatusOr<std::string> NeedString(const boost::json::object& object, absl::string_view name);

}  // namespace tombolo::tls
