// SPDX-License-Identifier: Apache-2.0
#include "cli/format.h"

#include <algorithm>
#include <vector>

#include <boost/json/serialize.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace tombolo::cli {
namespace {

namespace json = boost::json;

constexpr const char* kMissing = "-";

std::string Printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      absl::StrAppendFormat(&out, "\\x%02x", byte);
    } else {
      out.push_back(c);
    }
  }
  return out;
}

bool ToDouble(const json::value* value, double& out) {
  if (value == nullptr || !value->is_number()) return false;
  out = value->to_number<double>();
  return true;
}

}  // namespace

std::string Text(const json::value* value) {
  if (value == nullptr || value->is_null()) return kMissing;
  if (!value->is_string()) return Printable(json::serialize(*value));
  const json::string& text = value->get_string();
  return text.empty() ? kMissing : Printable(text);
}

std::string Bytes(const json::value* value) {
  double bytes = 0;
  if (!ToDouble(value, bytes) || bytes < 0) return Text(value);
  return Bytes(static_cast<std::uint64_t>(bytes));
}

std::string Bytes(std::uint64_t bytes) {
  if (bytes < 1024) return absl::StrCat(bytes, "B");
  constexpr const char* kUnits[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = static_cast<double>(bytes) / 1024;
  std::size_t unit = 0;
  // 1023.95 would be printed as 1024.0.
  for (; value >= 1023.95 && unit + 1 < std::size(kUnits); ++unit) value /= 1024;
  return absl::StrFormat("%.*f%s", value < 10 ? 1 : 0, value, kUnits[unit]);
}

std::string Age(const json::value* milliseconds) {
  double ms = 0;
  if (!ToDouble(milliseconds, ms) || ms < 0) return Text(milliseconds);
  return Age(absl::Milliseconds(ms));
}

std::string Age(absl::Duration age) {
  const std::int64_t ms = absl::ToInt64Milliseconds(age);
  const std::int64_t s = ms / 1000, m = s / 60, h = m / 60, d = h / 24;
  if (ms < 1000) return absl::StrCat(ms, "ms");
  if (s < 120) return absl::StrCat(s, "s");
  if (m < 10) return absl::StrCat(m, "m", s % 60, "s");
  if (h < 3) return absl::StrCat(m, "m");
  if (h < 8) return absl::StrCat(h, "h", m % 60, "m");
  if (h < 48) return absl::StrCat(h, "h");
  return absl::StrCat(d, "d");
}

std::string Relative(const json::value* time, absl::Time now) {
  std::string text = Text(time);
  absl::Time parsed;
  if (!absl::ParseTime(absl::RFC3339_full, text, &parsed, nullptr)) return text;
  if (parsed > now) return absl::StrCat("in ", Age(parsed - now));
  return absl::StrCat(Age(now - parsed), " ago");
}

std::string ShortId(const json::value* id) {
  std::string text = Text(id);
  const std::vector<absl::string_view> parts = absl::StrSplit(text, '/');
  // spiffe: "" domain cluster C ns N sa S
  if (parts.size() != 9 || parts[0] != "spiffe:" || parts[3] != "cluster" || parts[5] != "ns" ||
      parts[7] != "sa") {
    return text;
  }
  return absl::StrCat(parts[4], "/", parts[6], "/", parts[8]);
}

}  // namespace tombolo::cli
