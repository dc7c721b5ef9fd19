// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/strings/string_view.h"

namespace tombolo::balance {

// Things to draw from by weight, known by numbers that mean something to the caller. A
// weight of 0 is drawn only when all are 0.
class Lot {
 public:
  void Clear();
  void Add(std::uint32_t item, double weight);

  std::size_t size() const { return items_.size(); }
  bool empty() const { return items_.empty(); }
  std::uint32_t item(std::size_t place) const { return items_[place]; }
  double weight(std::size_t place) const;

  // A place, from 64 uniform bits. Not empty.
  std::size_t Draw(std::uint64_t random) const;
  // Another place than `taken`, or `taken` when all others weigh nothing.
  std::size_t DrawOther(std::size_t taken, std::uint64_t random) const;

 private:
  std::size_t Find(std::uint64_t at) const;

  std::vector<std::uint32_t> items_;
  std::vector<std::uint64_t> sums_;  // of the weights up to and with this place, scaled
};

// For rendezvous hashing: the same in every process, so that what was chosen by it stays
// chosen over restarts.
std::uint64_t StableHash(absl::string_view bytes);
std::uint64_t Mix(std::uint64_t a, std::uint64_t b);
// [0, 1)
double Unit(std::uint64_t hash);
// Of the candidates for one `key`, the one with the lowest distance wins: each wins keys in
// proportion to its weight, and one that comes or goes moves only its own keys.
double Distance(std::uint64_t candidate, std::uint64_t key, double weight);

}  // namespace tombolo::balance
