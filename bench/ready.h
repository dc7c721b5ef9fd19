// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdio>

namespace tombolo::bench {

// Whoever measures takes the clock's start from here.
inline void SayReadyAndWaitForLine() {
  std::puts("ready");
  std::fflush(stdout);
  for (int c = std::getchar(); c != '\n' && c != EOF;) c = std::getchar();
}

}  // namespace tombolo::bench
