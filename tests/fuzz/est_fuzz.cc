// SPDX-License-Identifier: Apache-2.0
// What strangers write into a request to the authority. The first byte says which part of it.
#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/answer.h"
#include "server/request.h"
#include "tls/csr.h"
#include "tls/pkcs7.h"

namespace {

namespace https = tombolo::ca::https;

void Require(bool holds) {
  if (!holds) std::abort();
}

void CheckAuthorization(absl::string_view value) {
  const auto token = https::ParseAuthorization(value);
  if (!token.ok()) return;
  Require(!token->empty() && token->size() <= value.size());
  Require(std::all_of(token->begin(), token->end(),
                      [](unsigned char c) { return absl::ascii_isgraph(c); }));
}

void CheckTarget(absl::string_view text) {
  const auto target = https::ParseTarget(text);
  if (!target) return;
  Require(!https::Name(target->resource).empty());
  Require((target->resource == https::Resource::kCrl) == !target->key.empty());
  if (!target->key.empty()) Require(text == absl::StrCat("/crl/", target->key, ".crl"));
}

void CheckBody(absl::string_view body) {
  const auto der = https::DecodeEnrolBody(body);
  if (!der.ok()) return;
  Require(!der->empty() && der->size() <= tombolo::tls::kMaxCsrSize);
  const auto again = https::DecodeEnrolBody(tombolo::tls::EncodeBody(*der));
  Require(again.ok() && *again == *der);
}

void CheckFields(absl::string_view text) {
  if (const auto sequence = https::ParseSequenceTag(text)) {
    Require(https::ParseSequenceTag(absl::StrCat("\"", *sequence, "\"")) == sequence);
  }
  if (const auto wait = https::ParsePreferredWait(text)) Require(wait->count() >= 0);
  (void)https::IsMediaType(text, "application/pkcs10");
  // Whatever a refusal repeats stays in one line of its body.
  const https::Answer refusal = https::Refuse(400, text);
  Require(std::count(refusal.body->begin(), refusal.body->end(), '\n') == 1);
  Require(!absl::StrContains(*refusal.body, "\r"));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const absl::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0]) {
    case 'a':
      CheckAuthorization(text);
      break;
    case 't':
      CheckTarget(text);
      break;
    case 'b':
      CheckBody(text);
      break;
    default:
      CheckFields(text);
  }
  return 0;
}
