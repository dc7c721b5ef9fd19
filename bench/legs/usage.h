// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "load.h"

namespace tombolo::bench {

// CPU time and context switches of this process, threads that have ended included, since the
// meter was made. What runs in softirqs on a processor is its current process's.
class Meter {
 public:
  Meter();
  // Adds what has been used up to now.
  void AddTo(Usage& usage) const;

 private:
  std::uint64_t cpu_ns_, switches_, start_ns_;
};

// CPU time of all kernel threads (ksoftirqd, workqueues and others), in ns.
std::uint64_t KernelThreadsCpu();

// ns in which a processor of the machine was not idle: proc(5), to a clock tick. It
// has the softirqs and interrupts that nobody else has.
std::uint64_t MachineCpu();

}  // namespace tombolo::bench
