// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "load.h"
#include "redirect.h"
#include "verdict.h"

namespace tombolo::bench {

// What some ways need of the kernel.
struct Kernel {
  std::unique_ptr<Redirect> unbounded, bounded;
  std::unique_ptr<Verdict> verdict;

  // Null: the way needs none.
  Redirect* RedirectFor(Way way) const {
    if (way == Way::kRedirect) return unbounded.get();
    return way == Way::kBounded ? bounded.get() : nullptr;
  }
};

// One load through one way.
struct Sample {
  Usage application, agent, sink;       // sink: with Onward::kNext
  std::uint64_t kernel_threads_ns = 0;  // of the whole machine, meanwhile
  double others_cores = 0;              // what others took, to a clock tick
};

// Makes connections and processes of their own for application, agent and sink, runs the load,
// and compares what they counted: a lost byte, a wrong answer and a process that fails or takes a
// minute too long fail the sample. Forks: call it from a process without threads.
absl::StatusOr<Sample> TakeSample(const Load& load, Way way, const Kernel& kernel);

}  // namespace tombolo::bench
