// SPDX-License-Identifier: Apache-2.0
#include "balance/choice.h"

#include "absl/strings/str_cat.h"

namespace tombolo::balance {
namespace {

std::string InWords(const Why& why) {
  switch (why.reason) {
    case Why::Reason::kPreferred:
      return "the first with anything in use";
    case Why::Reason::kOverflow:
      return absl::StrCat("overflow, ", why.in_use, " % in use before it");
    case Why::Reason::kPanic:
      return absl::StrCat("panic, ", why.in_use, " % of all in use");
    case Why::Reason::kTrial:
      return "trial of what was ejected";
    case Why::Reason::kRetry:
      return "another attempt";
    case Why::Reason::kLastLeft:
      return "nothing better left";
  }
  return "";
}

}  // namespace

std::string Why::ToString() const {
  std::string text =
      absl::StrCat("tier ", tier, " (", tier_name, "): ", InWords(*this), ", takes ", share, " %");
  if (by_source) text += ", by source";
  return text;
}

}  // namespace tombolo::balance
