// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/blocking_stream.h"

namespace tombolo::testing {

// Answers whatever it is asked with the same bytes, few at a time, and ends.
class ScriptedStream : public BlockingStream {
 public:
  ScriptedStream(std::string answer, std::size_t step, std::string* sent)
      : answer_(std::move(answer)), step_(step), sent_(sent) {}

  absl::Status Send(absl::string_view bytes, MonotonicTime) override {
    if (step_ == 0) return absl::UnavailableError("cut");
    absl::StrAppend(sent_, bytes);
    at_ = 0;
    return absl::OkStatus();
  }
  absl::StatusOr<std::size_t> Receive(absl::Span<char> into, MonotonicTime) override {
    const std::size_t size = std::min({into.size(), step_, answer_.size() - at_});
    std::copy_n(answer_.data() + at_, size, into.data());
    at_ += size;
    return size;
  }
  absl::Status Wait(MonotonicTime) override { return absl::OkStatus(); }
  bool Quiet() const override { return at_ == answer_.size(); }
  void Abort() override {}

 private:
  const std::string answer_;
  const std::size_t step_;
  std::string* const sent_;
  std::size_t at_ = 0;
};

}  // namespace tombolo::testing
