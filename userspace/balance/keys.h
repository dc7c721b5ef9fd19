// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/hash/hash.h"
#include "absl/strings/string_view.h"
#include "net/address.h"

namespace tombolo::balance {

// Maps from a name and an address, whose look-ups copy neither.
using NameAndAddress = std::pair<std::string, net::SocketAddress>;
using NameAndAddressView = std::pair<absl::string_view, net::SocketAddress>;

struct NameAndAddressHash {
  using is_transparent = void;
  template <typename Key>
  std::size_t operator()(const Key& key) const {
    return absl::HashOf(absl::string_view(key.first), key.second);
  }
};

struct NameAndAddressEqual {
  using is_transparent = void;
  template <typename A, typename B>
  bool operator()(const A& a, const B& b) const {
    return a.second == b.second && a.first == b.first;
  }
};

template <typename Value>
using ByNameAndAddress =
    absl::flat_hash_map<NameAndAddress, Value, NameAndAddressHash, NameAndAddressEqual>;

}  // namespace tombolo::balance
