// SPDX-License-Identifier: Apache-2.0
#include "balance/draw.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace tombolo::balance {
namespace {

// Weights that have a fraction keep ten bits of it.
constexpr double kScale = 1024;

}  // namespace

void Lot::Clear() {
  items_.clear();
  sums_.clear();
}

void Lot::Add(std::uint32_t item, double weight) {
  const std::uint64_t before = sums_.empty() ? 0 : sums_.back();
  // What weighs anything is drawn at times.
  const auto scaled =
      weight <= 0 ? 0 : std::max<std::uint64_t>(1, static_cast<std::uint64_t>(weight * kScale));
  items_.push_back(item);
  sums_.push_back(before + scaled);
}

double Lot::weight(std::size_t place) const {
  return static_cast<double>(sums_[place] - (place == 0 ? 0 : sums_[place - 1])) / kScale;
}

std::size_t Lot::Find(std::uint64_t at) const {
  return static_cast<std::size_t>(std::upper_bound(sums_.begin(), sums_.end(), at) - sums_.begin());
}

std::size_t Lot::Draw(std::uint64_t random) const {
  const std::uint64_t total = sums_.back();
  return total == 0 ? random % items_.size() : Find(random % total);
}

std::size_t Lot::DrawOther(std::size_t taken, std::uint64_t random) const {
  if (items_.size() == 1) return taken;
  const std::uint64_t total = sums_.back();
  if (total == 0) return (taken + 1 + random % (items_.size() - 1)) % items_.size();
  const std::uint64_t before = taken == 0 ? 0 : sums_[taken - 1];
  const std::uint64_t others = total - (sums_[taken] - before);
  if (others == 0) return taken;
  const std::uint64_t at = random % others;
  return Find(at < before ? at : at + (sums_[taken] - before));
}

std::uint64_t Mix(std::uint64_t a, std::uint64_t b) {
  // The finalizer of SplitMix64.
  std::uint64_t mixed = a + 0x9e3779b97f4a7c15 * (b + 1);
  mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
  mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
  return mixed ^ (mixed >> 31);
}

std::uint64_t StableHash(absl::string_view bytes) {
  std::uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  for (const char byte : bytes) hash = (hash ^ static_cast<std::uint8_t>(byte)) * 0x100000001b3;
  return Mix(hash, bytes.size());
}

double Unit(std::uint64_t hash) { return static_cast<double>(hash >> 11) * 0x1p-53; }

double Distance(std::uint64_t candidate, std::uint64_t key, double weight) {
  if (weight <= 0) return std::numeric_limits<double>::infinity();
  return -std::log(Unit(Mix(candidate, key)) + 0x1p-54) / weight;
}

}  // namespace tombolo::balance
