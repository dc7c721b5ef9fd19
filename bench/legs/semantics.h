// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "leg.h"
#include "redirect.h"
#include "verdict.h"

namespace tombolo::bench {

// What one question's answer is through TCP and through another way, in words. They are made to
// be compared: where both say the same, nobody can tell the difference.
struct Finding {
  std::string question, tcp, other;
};

// A small experiment with a leg of its own; `redirect` is null for TCP.
struct Experiment {
  const char* question;
  absl::StatusOr<std::string> (*run)(Redirect* redirect);
};

std::vector<Experiment> OrderExperiments();   // order of bytes; ends, resets and deaths
std::vector<Experiment> CallExperiments();    // single calls of applications and of the agent
std::vector<Experiment> MemoryExperiments();  // a slow agent; uses up the machine's tcp_mem

// Runs all of them both ways, one after another.
absl::StatusOr<std::vector<Finding>> FindSemantics(Redirect& redirect);
// The same of a verdict that sends on, beside a process that reads and writes.
absl::StatusOr<std::vector<Finding>> FindSemantics(Verdict& verdict);

// For the experiments.

// Everything that comes until the end, an error, or a fifth of a second of silence, for
// instance "'abc', end of stream". Long runs of bytes are counted.
std::string ReadAll(int fd);
// What a call returned, or the name of its errno.
std::string Outcome(long result);
// Sends it all, waiting for room.
absl::Status SendText(int fd, const std::string& text);
// Bytes are waiting at `fd`, or its end: after at most a fifth of a second.
bool Readable(int fd);

}  // namespace tombolo::bench
