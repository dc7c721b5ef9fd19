// SPDX-License-Identifier: Apache-2.0
#include "load.h"

#include "absl/strings/str_cat.h"

namespace tombolo::bench {
namespace {

constexpr std::size_t kKiB = 1024;

}  // namespace

absl::string_view NameOf(Onward onward) {
  switch (onward) {
    case Onward::kAnswer:
      return "answer";
    case Onward::kNext:
      return "next";
    case Onward::kDiscard:
      return "discard";
  }
  return "";
}

absl::string_view NameOf(Way way) {
  switch (way) {
    case Way::kSplice:
      return "splice";
    case Way::kCopy:
      return "copy";
    case Way::kRedirect:
      return "redirect";
    case Way::kBounded:
      return "redirect-bounded";
    case Way::kVerdict:
      return "verdict";
  }
  return "";
}

std::string Load::ToString() const {
  return absl::StrCat(NameOf(onward), ", bytes ", size, ", connections ", connections,
                      delay ? ", Nagle" : "");
}

std::vector<Load> AllLoads() {
  std::vector<Load> loads;
  for (const std::size_t size : {std::size_t{64}, 16 * kKiB}) {
    for (const int connections : {1, 64}) {
      loads.push_back({.onward = Onward::kAnswer, .size = size, .connections = connections});
    }
  }
  for (const Onward onward : {Onward::kNext, Onward::kDiscard}) {
    for (const int connections : {1, 8}) {
      loads.push_back({.onward = onward, .size = 64 * kKiB, .connections = connections});
    }
    loads.push_back({.onward = onward, .size = 512});
  }
  loads.push_back({.onward = Onward::kNext, .size = 512, .delay = true});
  return loads;
}

}  // namespace tombolo::bench
