// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include <boost/json/array.hpp>
#include <boost/json/value.hpp>

#include "absl/strings/string_view.h"

// Parts of the agent's answer (docs/admin-api.md). What is missing, or something else than was
// expected, is null, empty or "-", so that a newer or older agent can still be read.
namespace tombolo::cli {

const boost::json::value* Field(const boost::json::value* value, std::string_view key);
const boost::json::array& List(const boost::json::value* value, std::string_view key);
std::string TextOf(const boost::json::value* value, std::string_view key);
bool IsTrue(const boost::json::value* value, std::string_view key);
std::string Joined(const boost::json::array& list, absl::string_view separator);

}  // namespace tombolo::cli
