// SPDX-License-Identifier: Apache-2.0
#include "report.h"

#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <functional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace tombolo::bench {
namespace {

// Of one metric, in the order of rounds.
struct Values {
  std::vector<double> rounds;

  double median() const {
    std::vector<double> sorted = rounds;
    std::sort(sorted.begin(), sorted.end());
    const std::size_t half = sorted.size() / 2;
    return sorted.size() % 2 == 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
  }
  double min() const { return *std::min_element(rounds.begin(), rounds.end()); }
  double max() const { return *std::max_element(rounds.begin(), rounds.end()); }
};

// `requests` and `stream` are the units; null: the metric does not exist there.
struct Metric {
  const char* name;
  const char* requests;
  const char* stream;
  bool spread;  // in the table
  std::function<double(const Load&, const Sample&)> of;
};

double Amount(const Load& load, const Sample& sample) {
  return static_cast<double>(load.requests() ? sample.application.operations
                                             : sample.application.bytes);
}

// us for a request, ns for a byte.
double Each(const Load& load, const Sample& sample, std::uint64_t ns) {
  return static_cast<double>(ns) / Amount(load, sample) / (load.requests() ? 1e3 : 1);
}

// For a request, or for a MiB.
double SwitchesEach(const Load& load, const Sample& sample, std::uint64_t switches) {
  return static_cast<double>(switches) / Amount(load, sample) * (load.requests() ? 1 : 1 << 20);
}

std::uint64_t Both(const Sample& sample) { return sample.application.cpu_ns + sample.agent.cpu_ns; }

double Rate(const Load& load, const Sample& sample) {
  const double seconds = static_cast<double>(sample.application.elapsed_ns) * 1e-9;
  return Amount(load, sample) / seconds * (load.requests() ? 1 : 8e-9);
}

const std::vector<Metric>& Metrics() {
  using L = const Load&;
  using S = const Sample&;
  static const auto* const metrics = new std::vector<Metric>{
      {"rate", "1/s", "Gbit/s", true, Rate},
      {"application_cpu", "us", "ns/B", false,
       [](L l, S s) { return Each(l, s, s.application.cpu_ns); }},
      {"agent_cpu", "us", "ns/B", false, [](L l, S s) { return Each(l, s, s.agent.cpu_ns); }},
      {"both_cpu", "us", "ns/B", true, [](L l, S s) { return Each(l, s, Both(s)); }},
      {"sink_cpu", nullptr, "ns/B", false, [](L l, S s) { return Each(l, s, s.sink.cpu_ns); }},
      {"kernel_threads_cpu", "us", "ns/B", false,
       [](L l, S s) { return Each(l, s, s.kernel_threads_ns); }},
      {"application_switches", "1", "1/MiB", false,
       [](L l, S s) { return SwitchesEach(l, s, s.application.switches); }},
      {"agent_switches", "1", "1/MiB", false,
       [](L l, S s) { return SwitchesEach(l, s, s.agent.switches); }},
      {"p50", "us", nullptr, false,
       [](L, S s) { return static_cast<double>(s.application.p50_ns) / 1e3; }},
      {"p99", "us", nullptr, false,
       [](L, S s) { return static_cast<double>(s.application.p99_ns) / 1e3; }},
  };
  return *metrics;
}

Values ValuesOf(const Metric& metric, const Load& load, const std::vector<Sample>& samples) {
  Values values;
  for (const Sample& sample : samples) values.rounds.push_back(metric.of(load, sample));
  return values;
}

// Both sides' CPU time as a share of `copy`'s in the same round.
Values OfCopy(const Row& row, const std::vector<Sample>& samples) {
  const std::vector<Sample>& copies = row.samples.at(Way::kCopy);
  Values values;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    values.rounds.push_back(Each(row.load, samples[i], Both(samples[i])) /
                            Each(row.load, copies[i], Both(copies[i])));
  }
  return values;
}

std::string Number(double value) {
  if (value >= 100) return absl::StrFormat("%.0f", value);
  return absl::StrFormat("%.*f", value >= 10 ? 1 : 2, value);
}

std::string Cell(const Values& values, bool spread) {
  if (!spread || values.rounds.size() == 1) return Number(values.median());
  return absl::StrCat(Number(values.median()), " (", Number(values.min()), "..",
                      Number(values.max()), ")");
}

// Markdown that also reads well on a terminal.
std::string Align(const std::vector<std::vector<std::string>>& lines) {
  std::vector<std::size_t> widths(lines[0].size());
  for (const auto& line : lines) {
    for (std::size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], line[i].size());
  }
  std::string text;
  for (std::size_t row = 0; row < lines.size(); ++row) {
    for (std::size_t i = 0; i < widths.size(); ++i) {
      absl::StrAppend(&text, "| ", lines[row][i],
                      std::string(widths[i] - lines[row][i].size() + 1, ' '));
    }
    absl::StrAppend(&text, "|\n");
    if (row > 0) continue;
    for (const std::size_t width : widths) absl::StrAppend(&text, "|", std::string(width + 2, '-'));
    absl::StrAppend(&text, "|\n");
  }
  return text;
}

double MostOthers(const std::vector<Row>& rows) {
  double most = 0;
  for (const Row& row : rows) {
    for (const auto& [way, samples] : row.samples) {
      for (const Sample& sample : samples) most = std::max(most, sample.others_cores);
    }
  }
  return most;
}

std::string Machine(const std::vector<Row>& rows) {
  utsname kernel{};
  uname(&kernel);
  const std::size_t rounds = rows[0].samples.begin()->second.size();
  const double others = MostOthers(rows);
  return absl::StrFormat(
      "Medians (min..max) of %d rounds of %g s. %d cores, Linux %s.\n%sothers took up to %.2f "
      "cores during one.\n",
      rounds, std::chrono::duration<double>(rows[0].load.duration).count(),
      sysconf(_SC_NPROCESSORS_ONLN), kernel.release, others > 0.2 ? "NOT IDLE: " : "", others);
}

}  // namespace

std::string Table(const std::vector<Row>& rows) {
  std::vector<std::vector<std::string>> lines = {{"load", "way"}};
  for (const Metric& metric : Metrics()) {
    std::string name = metric.name;
    std::replace(name.begin(), name.end(), '_', ' ');
    lines[0].push_back(std::move(name));
  }
  lines[0].push_back("both, of copy's");
  for (const Row& row : rows) {
    std::string name = row.load.ToString();
    for (const Way way : kWays) {
      const auto found = row.samples.find(way);
      if (found == row.samples.end()) continue;
      std::vector<std::string> line = {std::exchange(name, ""), std::string(NameOf(way))};
      for (const Metric& metric : Metrics()) {
        const char* unit = row.load.requests() ? metric.requests : metric.stream;
        line.push_back(
            unit == nullptr ? "-" : Cell(ValuesOf(metric, row.load, found->second), metric.spread));
      }
      line.push_back(way == Way::kCopy ? "1" : Cell(OfCopy(row, found->second), true));
      lines.push_back(std::move(line));
    }
  }
  return absl::StrCat(Align(lines),
                      "\nanswer: per second, us, and context switches for a request. "
                      "next, discard: Gbit/s, ns for a byte, switches for a MiB.\n",
                      Machine(rows));
}

std::string Json(const std::vector<Row>& rows) {
  std::vector<std::string> objects;
  for (const Row& row : rows) {
    const Load& load = row.load;
    const std::string parameters = absl::StrFormat(
        R"({"onward": "%s", "bytes": %d, "connections": %d, "nagle": %s})", NameOf(load.onward),
        load.size, load.connections, load.delay ? "true" : "false");
    for (const auto& [way, samples] : row.samples) {
      for (const Metric& metric : Metrics()) {
        const char* unit = load.requests() ? metric.requests : metric.stream;
        if (unit == nullptr) continue;
        const Values values = ValuesOf(metric, load, samples);
        objects.push_back(absl::StrFormat(
            R"({"question": "legs", "subject": "%s", "parameters": %s, "metric": "%s", )"
            R"("unit": "%s", "median": %.6g, "min": %.6g, "max": %.6g, "rounds": [%s]})",
            NameOf(way), parameters, metric.name, unit, values.median(), values.min(), values.max(),
            absl::StrJoin(values.rounds, ", ")));
      }
    }
  }
  return absl::StrCat("[\n ", absl::StrJoin(objects, ",\n "), "\n]\n");
}

std::string Table(const std::string& way, const std::vector<Finding>& findings) {
  std::vector<std::vector<std::string>> lines = {{"question", "through TCP", way}};
  for (const Finding& finding : findings) {
    const bool same = finding.tcp == finding.other;
    lines.push_back({finding.question, finding.tcp, same ? "the same" : finding.other});
  }
  utsname kernel{};
  uname(&kernel);
  return absl::StrCat(Align(lines), "\nLinux ", kernel.release, ".\n");
}

}  // namespace tombolo::bench
