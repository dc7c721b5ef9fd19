// SPDX-License-Identifier: Apache-2.0
#include "server/request.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"
#include "tls/csr.h"
#include "tls/pkcs7.h"

namespace tombolo::ca::https {
namespace {

struct Path {
  absl::string_view path, name;
  Resource resource;
};

constexpr Path kPaths[kResources] = {
    {"/.well-known/est/cacerts", "cacerts", Resource::kCaCerts},
    {"/.well-known/est/csrattrs", "csrattrs", Resource::kCsrAttrs},
    {"/.well-known/est/simpleenroll", "simpleenroll", Resource::kEnroll},
    {"/.well-known/est/simplereenroll", "simplereenroll", Resource::kReenroll},
    {"/.well-known/spiffe/bundle", "bundle", Resource::kBundle},
    {"/v1/trust", "trust", Resource::kTrust},
    {"/crl/", "crl", Resource::kCrl},  // and <key>.crl
};
constexpr std::size_t kKeyDigits = 64;

bool IsKey(absl::string_view text) {
  return text.size() == kKeyDigits && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

// RFC 6750, section 2.1: b64token.
bool IsBearerToken(absl::string_view text) {
  const absl::string_view core = text.substr(0, text.find_last_not_of('=') + 1);
  return !core.empty() && std::all_of(core.begin(), core.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
           absl::string_view("-._~+/").find(c) != absl::string_view::npos;
  });
}

absl::StatusOr<std::string> PasswordOf(absl::string_view text) {
  std::string bytes;
  // The decoder forgives what the encoder does not write.
  if (!absl::Base64Unescape(text, &bytes) || absl::Base64Escape(bytes) != text) {
    return absl::InvalidArgumentError("Authorization: Basic is not followed by base64");
  }
  const std::size_t colon = bytes.find(':');
  if (colon == std::string::npos) {
    return absl::InvalidArgumentError("Authorization: Basic has no password");
  }
  std::string password = bytes.substr(colon + 1);
  if (password.empty()) return absl::UnauthenticatedError("the password is empty");
  const auto visible = [](unsigned char c) { return absl::ascii_isgraph(c); };
  if (!std::all_of(password.begin(), password.end(), visible)) {
    return absl::InvalidArgumentError("Authorization: the password is not a token");
  }
  return password;
}

std::optional<std::uint64_t> ToNumber(absl::string_view digits) {
  std::uint64_t number = 0;
  const bool only_digits = std::all_of(digits.begin(), digits.end(), absl::ascii_isdigit);
  if (!only_digits || !absl::SimpleAtoi(digits, &number)) return std::nullopt;
  return number;
}

// RFC 7240 allows quotes around any value.
absl::string_view Unquoted(absl::string_view text) {
  text = absl::StripAsciiWhitespace(text);
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') {
    return text.substr(1, text.size() - 2);
  }
  return text;
}

}  // namespace

absl::string_view Name(Resource resource) {
  return kPaths[static_cast<std::size_t>(resource)].name;
}

std::optional<Target> ParseTarget(absl::string_view target) {
  for (const Path& path : kPaths) {
    if (path.resource != Resource::kCrl && target == path.path) return Target{path.resource, ""};
  }
  if (!absl::ConsumePrefix(&target, kPaths[kResources - 1].path) ||
      !absl::ConsumeSuffix(&target, ".crl") || !IsKey(target)) {
    return std::nullopt;
  }
  return Target{Resource::kCrl, std::string(target)};
}

absl::StatusOr<std::string> ParseAuthorization(absl::string_view value) {
  const std::size_t end = value.find(' ');
  const absl::string_view scheme = value.substr(0, end);
  const absl::string_view rest =
      end == absl::string_view::npos ? "" : absl::StripAsciiWhitespace(value.substr(end));
  if (absl::EqualsIgnoreCase(scheme, "Basic")) return PasswordOf(rest);
  if (!absl::EqualsIgnoreCase(scheme, "Bearer")) {
    return absl::UnauthenticatedError("neither Basic nor Bearer authorization");
  }
  if (IsBearerToken(rest)) return std::string(rest);
  return absl::InvalidArgumentError("Authorization: Bearer is not followed by a token");
}

bool IsMediaType(absl::string_view content_type, absl::string_view wanted) {
  const absl::string_view type = content_type.substr(0, content_type.find(';'));
  return absl::EqualsIgnoreCase(absl::StripAsciiWhitespace(type), wanted);
}

std::optional<std::chrono::seconds> ParsePreferredWait(absl::string_view prefer) {
  for (absl::string_view preference : absl::StrSplit(prefer, ',')) {
    preference = preference.substr(0, preference.find(';'));
    const std::size_t equals = preference.find('=');
    if (equals == absl::string_view::npos) continue;
    const absl::string_view name = absl::StripAsciiWhitespace(preference.substr(0, equals));
    if (!absl::EqualsIgnoreCase(name, "wait")) continue;
    const auto number = ToNumber(Unquoted(preference.substr(equals + 1)));
    if (!number) return std::nullopt;
    constexpr std::uint64_t kMost = std::numeric_limits<std::uint32_t>::max();
    return std::chrono::seconds(std::min(*number, kMost));
  }
  return std::nullopt;
}

std::optional<std::uint64_t> ParseSequenceTag(absl::string_view tags) {
  tags = absl::StripAsciiWhitespace(tags);
  (void)absl::ConsumePrefix(&tags, "W/");  // a proxy may have weakened it
  if (!absl::ConsumePrefix(&tags, "\"") || !absl::ConsumeSuffix(&tags, "\"")) return std::nullopt;
  return ToNumber(tags);
}

absl::StatusOr<std::string> DecodeEnrolBody(absl::string_view body) {
  ASSIGN_OR_RETURN(std::string der, tls::DecodeBody(body, kMaxBodySize));
  if (der.size() <= tls::kMaxCsrSize) return der;
  return absl::OutOfRangeError("the certificate request is larger than 16 KiB");
}

}  // namespace tombolo::ca::https
