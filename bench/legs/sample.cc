// SPDX-License-Identifier: Apache-2.0
#include "sample.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "agent.h"
#include "application.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
#include "child.h"
#include "leg.h"
#include "net/socket.h"
#include "usage.h"
#include "watcher.h"

namespace tombolo::bench {
namespace {

// All sockets of a sample, by the process that has them.
struct Sockets {
  std::vector<Fd> applications;
  std::vector<AgentLeg> agents;
  std::vector<Fd> sinks;
};

absl::StatusOr<Sockets> Connect(const Load& load, Way way, const Kernel& kernel) {
  Redirect* const redirect = kernel.RedirectFor(way);
  Sockets sockets;
  for (int i = 0; i < load.connections; ++i) {
    ASSIGN_OR_RETURN(Leg leg, OpenLeg(redirect));
    AgentLeg agent;
    if (redirect != nullptr) {
      ASSIGN_OR_RETURN(agent.read, redirect->ReadCounter(leg.agent.get()));
    }
    agent.application = std::move(leg.agent);
    if (load.onward == Onward::kNext) {
      ASSIGN_OR_RETURN(auto next, net::LoopbackPair());
      agent.next = std::move(next.first);
      sockets.sinks.push_back(std::move(next.second));
    }
    if (way == Way::kVerdict) {
      RETURN_IF_ERROR(kernel.verdict->Join(agent.application.get(), agent.next.get()));
    }
    sockets.applications.push_back(std::move(leg.application));
    sockets.agents.push_back(std::move(agent));
  }
  return sockets;
}

// The processes; each keeps its own sockets only, so that an end is an end.
struct Processes {
  std::optional<Child> sink;
  std::optional<Child> agent;
  std::optional<Child> application;
};

absl::Status Fork(Sockets sockets, const Load& load, Way way, Processes& processes) {
  const auto patience =
      std::chrono::ceil<std::chrono::seconds>(load.duration) * 4 + std::chrono::seconds(60);
  const auto application = [&](absl::FunctionRef<void()> ready) {
    sockets.agents.clear();
    sockets.sinks.clear();
    return RunApplication(sockets.applications, load, ready);
  };
  const auto agent = [&](absl::FunctionRef<void()> ready) {
    sockets.applications.clear();
    sockets.sinks.clear();
    if (way == Way::kVerdict) return RunWatcher(std::move(sockets.agents), ready);
    return RunAgent(std::move(sockets.agents), way, load, ready);
  };
  const auto sink = [&](absl::FunctionRef<void()> ready) {
    sockets.applications.clear();
    sockets.agents.clear();
    return RunSink(std::move(sockets.sinks), ready);
  };
  ASSIGN_OR_RETURN(Child first, Child::Fork("agent", patience, agent));
  processes.agent.emplace(std::move(first));
  ASSIGN_OR_RETURN(Child second, Child::Fork("application", patience, application));
  processes.application.emplace(std::move(second));
  if (load.onward != Onward::kNext) return absl::OkStatus();
  ASSIGN_OR_RETURN(Child third, Child::Fork("sink", patience, sink));
  processes.sink.emplace(std::move(third));
  return absl::OkStatus();
}

// The application is the last that starts, and the first that ends.
absl::Status RunAll(Processes& processes, Sample& sample) {
  for (std::optional<Child>* child : {&processes.sink, &processes.agent, &processes.application}) {
    if (!child->has_value()) continue;
    RETURN_IF_ERROR((*child)->AwaitReady());
    if (child != &processes.application) RETURN_IF_ERROR((*child)->Start());
  }
  const std::uint64_t kernel = KernelThreadsCpu();
  const std::uint64_t machine = MachineCpu();
  RETURN_IF_ERROR(processes.application->Start());
  ASSIGN_OR_RETURN(sample.application, processes.application->Finish());
  ASSIGN_OR_RETURN(sample.agent, processes.agent->Finish());
  if (processes.sink) {
    ASSIGN_OR_RETURN(sample.sink, processes.sink->Finish());
  }
  sample.kernel_threads_ns = KernelThreadsCpu() - kernel;
  const double ours = static_cast<double>(sample.application.cpu_ns + sample.agent.cpu_ns +
                                          sample.sink.cpu_ns + sample.kernel_threads_ns);
  sample.others_cores = (static_cast<double>(MachineCpu() - machine) - ours) /
                        static_cast<double>(sample.application.elapsed_ns);
  return absl::OkStatus();
}

absl::Status CheckCounts(const Sample& sample, const Load& load) {
  const std::uint64_t sent = sample.application.bytes;
  if (sent == 0) return absl::InternalError("nothing was sent");
  if (sample.agent.bytes != sent) {
    return absl::DataLossError(
        absl::StrCat("sent ", sent, " bytes, and the agent read ", sample.agent.bytes));
  }
  if (load.onward == Onward::kNext && sample.sink.bytes != sent) {
    return absl::DataLossError(
        absl::StrCat("sent ", sent, " bytes, and ", sample.sink.bytes, " came out"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Sample> TakeSample(const Load& load, Way way, const Kernel& kernel) {
  ASSIGN_OR_RETURN(Sockets sockets, Connect(load, way, kernel));
  Processes processes;
  RETURN_IF_ERROR(Fork(std::move(sockets), load, way, processes));
  Sample sample;
  absl::Status status = RunAll(processes, sample);
  if (status.ok()) status = CheckCounts(sample, load);
  if (status.ok()) return sample;
  return Annotate(status, absl::StrCat(load.ToString(), ", ", NameOf(way)));
}

}  // namespace tombolo::bench
