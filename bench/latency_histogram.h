// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace tombolo::bench {

// Counts durations in buckets no wider than 1/64 of their value, so that any
// number of samples costs the same memory and a percentile is at most 1.6% too
// high. Not for several threads at once: one each, merged afterwards.
class LatencyHistogram {
 public:
  void Add(std::uint64_t nanoseconds) {
    ++buckets_[Index(nanoseconds)];
    ++count_;
    max_ = std::max(max_, nanoseconds);
  }

  void Merge(const LatencyHistogram& other) {
    for (std::size_t i = 0; i < buckets_.size(); ++i) buckets_[i] += other.buckets_[i];
    count_ += other.count_;
    max_ = std::max(max_, other.max_);
  }

  // The upper edge of the bucket that holds the q-th quantile, 0 < q <= 1; 0
  // without samples.
  std::uint64_t Quantile(double q) const {
    const auto rank = static_cast<std::uint64_t>(std::ceil(q * static_cast<double>(count_)));
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < buckets_.size(); ++i) {
      seen += buckets_[i];
      if (seen >= rank && seen > 0) return std::min(UpperEdge(i), max_);
    }
    return max_;
  }

  std::uint64_t count() const { return count_; }
  std::uint64_t max() const { return max_; }

 private:
  static constexpr int kBits = 6;  // 64 buckets for each power of two
  static constexpr std::size_t kPerPower = 1U << kBits;

  // Values below 128 have a bucket each; above, the top seven bits choose it.
  static std::size_t Index(std::uint64_t value) {
    const int shift = std::max(0, static_cast<int>(std::bit_width(value)) - (kBits + 1));
    return shift * kPerPower + (value >> shift);
  }

  static std::uint64_t UpperEdge(std::size_t index) {
    if (index < 2 * kPerPower) return index;
    const std::size_t shift = index / kPerPower - 1;
    return ((index - shift * kPerPower + 1) << shift) - 1;
  }

  std::array<std::uint64_t, (64 - kBits + 1) * kPerPower> buckets_{};
  std::uint64_t count_ = 0;
  std::uint64_t max_ = 0;
};

}  // namespace tombolo::bench
