// SPDX-License-Identifier: Apache-2.0
#include "usage.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cctype>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace tombolo::bench {
namespace {

std::uint64_t Clock(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

std::uint64_t Switches() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::uint64_t>(usage.ru_nvcsw + usage.ru_nivcsw);
}

std::string FirstLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// proc(5): the ninth field has PF_KTHREAD. Names may have spaces and brackets.
bool IsKernelThread(const std::string& process) {
  constexpr std::uint64_t kFlag = 0x00200000;
  const std::string stat = FirstLine(absl::StrCat("/proc/", process, "/stat"));
  const std::size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos) return false;
  const std::vector<std::string> fields =
      absl::StrSplit(stat.substr(name_end + 1), ' ', absl::SkipEmpty());
  std::uint64_t flags = 0;
  return fields.size() > 6 && absl::SimpleAtoi(fields[6], &flags) && (flags & kFlag) != 0;
}

}  // namespace

Meter::Meter()
    : cpu_ns_(Clock(CLOCK_PROCESS_CPUTIME_ID)),
      switches_(Switches()),
      start_ns_(Clock(CLOCK_MONOTONIC)) {}

void Meter::AddTo(Usage& usage) const {
  usage.cpu_ns += Clock(CLOCK_PROCESS_CPUTIME_ID) - cpu_ns_;
  usage.switches += Switches() - switches_;
  usage.elapsed_ns += Clock(CLOCK_MONOTONIC) - start_ns_;
}

std::uint64_t KernelThreadsCpu() {
  DIR* proc = opendir("/proc");
  if (proc == nullptr) return 0;
  std::uint64_t sum = 0;
  while (const dirent* entry = readdir(proc)) {
    const std::string process = entry->d_name;
    if (std::isdigit(static_cast<unsigned char>(process[0])) == 0) continue;
    if (!IsKernelThread(process)) continue;
    // Empty when the thread has ended.
    sum += std::strtoull(FirstLine(absl::StrCat("/proc/", process, "/schedstat")).c_str(), nullptr,
                         10);
  }
  closedir(proc);
  return sum;
}

std::uint64_t MachineCpu() {
  // user nice system idle iowait irq softirq steal
  const std::vector<std::string> words =
      absl::StrSplit(FirstLine("/proc/stat"), ' ', absl::SkipEmpty());
  std::uint64_t ticks = 0;
  for (const std::size_t i : {1, 2, 3, 6, 7, 8}) {
    std::uint64_t value = 0;
    if (i < words.size() && absl::SimpleAtoi(words[i], &value)) ticks += value;
  }
  return ticks * (1'000'000'000 / sysconf(_SC_CLK_TCK));
}

}  // namespace tombolo::bench
