// SPDX-License-Identifier: Apache-2.0
// The first bytes of a connection to a gateway: what is said of them does not depend on how they
// come, what is waited for is bounded and a step further, and a name is nothing but one.
#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include "absl/strings/ascii.h"
#include "gateway/client_hello.h"

namespace {

using tombolo::gateway::HelloView;
using tombolo::gateway::ReadClientHello;

void Require(bool holds) {
  if (!holds) std::abort();
}

void CheckView(const HelloView& view, std::size_t have) {
  if (view.needed != 0) {
    Require(view.needed > have && view.needed <= tombolo::gateway::kMaxClientHello);
    Require(!view.refusal && view.server_name.empty());
  } else if (view.refusal) {
    Require(view.server_name.empty());
  } else {
    Require(!view.server_name.empty() && view.server_name.size() <= 255);
    for (const unsigned char c : view.server_name) {
      Require(absl::ascii_isalnum(c) || c == '-' || c == '.');
    }
  }
}

bool Same(const HelloView& a, const HelloView& b) {
  return a.needed == b.needed && a.refusal == b.refusal && a.server_name == b.server_name;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const absl::Span<const std::uint8_t> all(data, size);
  // As the gateway asks for them. Of much in tiny records that would take too long here.
  if (size > 4096) return CheckView(ReadClientHello(all), size), 0;
  HelloView view;
  std::size_t have = std::min<std::size_t>(size, 1);
  for (;;) {
    view = ReadClientHello(all.first(have));
    CheckView(view, have);
    if (view.needed == 0 || view.needed > size) break;
    have = view.needed;
  }
  const HelloView at_once = ReadClientHello(all);
  CheckView(at_once, size);
  // A refusal may come sooner when more is to be seen, and for another reason; a name is the same.
  if (view.needed == 0 && !view.refusal) Require(Same(view, at_once));
  if (at_once.needed == 0 && !at_once.refusal) Require(Same(view, at_once));
  return 0;
}
