// SPDX-License-Identifier: Apache-2.0
#include "admin/process_metrics.h"

#include <sys/resource.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <system_error>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"

namespace tombolo::admin {
namespace {

// /proc/self/stat (proc(5)) after the command's name, which may hold spaces;
// the first of these fields is the third of the file.
class ProcStat {
 public:
  static std::optional<ProcStat> Read() {
    std::ifstream file("/proc/self/stat");
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    const std::size_t end_of_name = text.rfind(") ");
    if (end_of_name == std::string::npos) return std::nullopt;
    ProcStat stat;
    stat.fields_ = absl::StrSplit(text.substr(end_of_name + 2), ' ');
    if (stat.fields_.size() <= kRss - kFirst) return std::nullopt;
    return stat;
  }

  enum Field : std::size_t { kFirst = 3, kUtime = 14, kStime = 15, kStart = 22, kVsize, kRss };
  double Get(Field field) const {
    double value = 0;
    (void)absl::SimpleAtod(fields_[field - kFirst], &value);
    return value;
  }

 private:
  std::vector<std::string> fields_;
};

std::optional<double> BootTimeSeconds() {
  std::ifstream file("/proc/stat");
  for (std::string line; std::getline(file, line);) {
    double seconds = 0;
    if (line.starts_with("btime ") && absl::SimpleAtod(line.substr(6), &seconds)) return seconds;
  }
  return std::nullopt;
}

std::optional<double> OpenFds() {
  std::error_code error;
  std::filesystem::directory_iterator entry("/proc/self/fd", error);
  if (error) return std::nullopt;
  double count = -1;  // the iterator's own
  for (; entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    if (error) return std::nullopt;
    ++count;
  }
  return count;
}

void AddFromStat(std::vector<Sample>& samples, const ProcStat& stat) {
  const auto ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
  const auto page = static_cast<double>(sysconf(_SC_PAGESIZE));
  samples.push_back({.name = "process_cpu_seconds_total",
                     .help = "User and system CPU time spent, in seconds.",
                     .type = MetricType::kCounter,
                     .value = (stat.Get(ProcStat::kUtime) + stat.Get(ProcStat::kStime)) / ticks});
  samples.push_back({.name = "process_virtual_memory_bytes",
                     .help = "Virtual memory size in bytes.",
                     .value = stat.Get(ProcStat::kVsize)});
  samples.push_back({.name = "process_resident_memory_bytes",
                     .help = "Resident memory size in bytes.",
                     .value = stat.Get(ProcStat::kRss) * page});
  if (const auto boot = BootTimeSeconds()) {
    samples.push_back({.name = "process_start_time_seconds",
                       .help = "Start of the process, in seconds since the Unix epoch.",
                       .value = *boot + stat.Get(ProcStat::kStart) / ticks});
  }
}

}  // namespace

absl::string_view BuildVersion() { return TOMBOLO_VERSION; }

std::vector<Sample> ProcessMetrics() {
  std::vector<Sample> samples;
  samples.push_back({.name = "tombolo_build_info",
                     .help = "Always 1; the labels say what was built.",
                     .labels = {{"version", std::string(BuildVersion())}},
                     .value = 1});
  if (const auto stat = ProcStat::Read()) AddFromStat(samples, *stat);
  if (const auto fds = OpenFds()) {
    samples.push_back(
        {.name = "process_open_fds", .help = "Open file descriptors.", .value = *fds});
  }
  if (rlimit limit{}; getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    samples.push_back({.name = "process_max_fds",
                       .help = "The limit of open file descriptors.",
                       .value = static_cast<double>(limit.rlim_cur)});
  }
  return samples;
}

}  // namespace tombolo::admin
