// SPDX-License-Identifier: Apache-2.0
#include "agent/agent.h"

#include <fcntl.h>
#include <sys/file.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <thread>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <malloc.h>

#include "absl/strings/str_cat.h"
#include "agent/accept_loop.h"
#include "agent/cluster_drain.h"
#include "agent/config_reload.h"
#include "agent/desired_state.h"
#include "agent/drain.h"
#include "agent/issuance_options.h"
#include "agent/reserve_descriptor.h"
#include "agent/wan.h"
#include "base/errno_status.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "net/socket.h"

namespace tombolo::agent {
namespace {

// How often cgroups and namespaces that were missing, or were made anew, are
// looked for.
constexpr Duration kWorkloadInterval = std::chrono::seconds(1);
constexpr std::uint64_t kTrimAfter = 100;      // handshakes
constexpr std::uint64_t kQuietHandshakes = 5;  // within kWorkloadInterval
constexpr Duration kSweepInterval = std::chrono::seconds(30);
constexpr int kTunnelBacklog = 4096;
constexpr char kBpffs[] = "/sys/fs/bpf";

// kAuto is what bench/README.md shows to cost least: neither.
bool SplicesSending(source::SpliceMode mode) {
  return mode == source::SpliceMode::kSend || mode == source::SpliceMode::kBoth;
}
bool SplicesReceiving(source::SpliceMode mode) {
  return mode == source::SpliceMode::kReceive || mode == source::SpliceMode::kBoth;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Agent>> Agent::Start(asio::io_context& io, std::string config_path,
                                                    source::AgentConfig config) {
  auto agent = std::unique_ptr<Agent>(new Agent(io, std::move(config_path), std::move(config)));
  RETURN_IF_ERROR(agent->SetUp());
  return agent;
}

Agent::Agent(asio::io_context& io, std::string config_path, source::AgentConfig config)
    : io_(io),
      config_path_(std::move(config_path)),
      config_(std::move(config)),
      settings_{config_.cluster,
                config_.node,
                config_.deadlines.idle_tunnel,
                {},
                config_.deadlines.ping,
                {}},
      pace_(io),
      tasks_(io.get_executor()),
      stop_(io, asio::steady_timer::time_point::max()) {}

absl::Status Agent::SetUp() {
  RETURN_IF_ERROR(ChooseRelay());
  settings_.wan = ChooseWanOptions(config_.wan);
  ASSIGN_OR_RETURN(Cgroups cgroups, Cgroups::Find());
  cgroups_ = std::make_unique<Cgroups>(std::move(cgroups));
  ASSIGN_OR_RETURN(watcher_, source::FileWatcher::Create(io_));
  WatchFiles();
  if (config_.shared_directory) {
    ASSIGN_OR_RETURN(auto options, SubscriberOptions(config_, /*publish=*/false));
    shared_directory_ = std::make_unique<directory::Subscriber>(std::move(options));
  }
  RETURN_IF_ERROR(ReadDirectory());
  if (config_.identity.authority) {
    ASSIGN_OR_RETURN(issuance_,
                     identity::Issuance::Create(io_.get_executor(), IssuanceOptions(config_)));
  }
  ReadIdentities();
  RETURN_IF_ERROR(OpenDatapath());
  enrolment_ = std::make_unique<Enrolment>(*cgroups_, *datapath_, config_.capture.cgroup,
                                           config_.cluster, config_.node, config_.capture.port);
  enrolment_->Remember(datapath_->EnrolledCgroups());
  RETURN_IF_ERROR(StartThreads());
  enrolment_->Update(*snapshot_);
  Publish();
  RETURN_IF_ERROR(ListenForTunnels());
  Probe();
  return StartAdmin();
}

// Another program in front of the hooks could rewrite a service's address to one
// that they do not know: closed until it is gone.
void Agent::Probe() {
  absl::Status status = datapath_->Probe();
  // Nothing is known of the hooks then; and the next probe is soon.
  if (OutOfDescriptors(status)) return;
  if (status == probe_status_) return;
  if (!status.ok()) log::Error("capture does not work", {{"reason", status}});
  if (status.ok()) log::Info("capture works again");
  probe_status_ = std::move(status);
  Publish();
}

absl::Status Agent::ChooseRelay() {
  if (config_.relay == source::RelayMode::kUser) return absl::OkStatus();
  kernel_tls_ = tls::ProbeKernelTls(datapath::PutIntoSockmap);
  for (const auto& check : kernel_tls_.checks) {
    log::Info("kernel TLS self-test", {{"check", check.name}, {"result", check.result}});
  }
  // The suite that tunnels agree on unless a peer lacks it.
  if (config_.relay == source::RelayMode::kKernel && !kernel_tls_.works.aes_128_gcm) {
    return absl::FailedPreconditionError(
        absl::StrCat("relay: kernel, but the kernel's TLS does not work here: ",
                     kernel_tls_.checks.front().result.message()));
  }
  settings_.kernel_tls = kernel_tls_.works;
  settings_.kernel_tls.splice_send &= SplicesSending(config_.splice);
  settings_.kernel_tls.splice_receive &= SplicesReceiving(config_.splice);
  return absl::OkStatus();
}

// One agent an instance: a second one would take over the first one's programs.
absl::Status Agent::LockInstance() {
  ASSIGN_OR_RETURN(const std::string directory,
                   datapath::MakeInstanceDirectory(kBpffs, config_.instance));
  instance_lock_ = Fd(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!instance_lock_.valid()) return ErrnoStatus(errno, "open '" + directory + "'");
  if (flock(instance_lock_.get(), LOCK_EX | LOCK_NB) == 0) return absl::OkStatus();
  return ErrnoStatus(errno, absl::StrCat("another agent of instance '", config_.instance,
                                         "' is running: lock '", directory, "'"));
}

absl::Status Agent::OpenDatapath() {
  RETURN_IF_ERROR(LockInstance());
  const source::AgentConfig::Capture& capture = config_.capture;
  // The agent's own connections are never captured; nor is anything exempted by
  // an agent that shares its cgroup with what it captures.
  if (auto own = cgroups_->Own(); own.ok() && *own != "/" && *own != capture.cgroup &&
                                  !capture.cgroup.starts_with(*own + "/")) {
    if (auto id = cgroups_->IdOf(*own); id.ok()) own_cgroup_ = *id;
  }
  if (own_cgroup_ == 0 && !capture.protected_ranges.empty()) {
    log::Warning("this agent has no cgroup of its own, so protected ranges hold for it too",
                 {{"capture_cgroup", capture.cgroup}});
  }
  datapath::Datapath::Options options;
  options.instance = config_.instance;
  options.cgroup_path = cgroups_->Absolute(capture.cgroup);
  options.bpffs = kBpffs;
  options.listener_port = capture.port;
  options.max_services = capture.max_services;
  options.max_workloads = capture.max_workloads;
  options.max_pending = capture.max_pending;
  options.max_pending_per_workload = capture.max_pending_per_workload;
  options.max_allowed = capture.max_allowed;
  ASSIGN_OR_RETURN(datapath_, datapath::Datapath::Open(options));
  return absl::OkStatus();
}

absl::Status Agent::StartThreads() {
  const unsigned cores = std::max(1u, std::thread::hardware_concurrency());
  const unsigned count = config_.threads == 0 ? cores : config_.threads;
  for (unsigned i = 0; i < count; ++i) {
    ASSIGN_OR_RETURN(auto thread,
                     DataThread::Start(settings_, *datapath_, counters_, services_, quotas_));
    threads_.push_back(std::move(thread));
  }
  return absl::OkStatus();
}

absl::Status Agent::ListenForTunnels() {
  ASSIGN_OR_RETURN(const Fd listener, net::Listen(config_.tunnel.listen, kTunnelBacklog));
  for (auto& thread : threads_) {
    ASSIGN_OR_RETURN(Fd copy, DuplicateListener(listener.get()));
    auto shared = std::make_shared<Fd>(std::move(copy));
    thread->Post([shared](DataThread& self) { self.AddTunnelListener(std::move(*shared)); });
  }
  return absl::OkStatus();
}

void Agent::PublishListeners() {
  for (const Enrolment::ListenerChange& change : enrolment_->TakeListenerChanges()) {
    for (auto& thread : threads_) {
      if (!change.fd.valid()) {
        thread->Post([key = change.key](DataThread& self) { self.RemoveListener(key); });
        continue;
      }
      absl::StatusOr<Fd> copy = DuplicateListener(change.fd.get());
      if (!copy.ok()) {
        // Nobody would accept from it: the hook must find none, until the next try.
        log::Error("a workload's listener is not watched", {{"reason", copy.status()}});
        enrolment_->DropListener(change.key);
        continue;
      }
      auto shared = std::make_shared<Fd>(*std::move(copy));
      thread->Post([shared, key = change.key, cookie = change.netns_cookie](DataThread& self) {
        self.AddListener(key, std::move(*shared), cookie);
      });
    }
  }
}

void Agent::PublishWorld() {
  services_.Keep(*snapshot_);
  const WorldPtr world = MakeWorld();
  for (auto& thread : threads_) {
    thread->Post([world](DataThread& self) { self.SetWorld(world); });
  }
}

// Threads first: what the kernel begins to capture, they understand already.
void Agent::Publish() {
  PublishWorld();
  PublishListeners();
  datapath::DesiredState desired =
      MakeDesiredState(*snapshot_, enrolment_->entries(), enrolment_->RetiredCgroups(),
                       config_.capture.protected_ranges, own_cgroup_);
  desired.closed = !probe_status_.ok();
  captured_changed_ = false;
  absl::Status applied = datapath_->Apply(desired);
  if (!applied.ok() && applied != apply_status_) {
    log::Error("kernel maps are incomplete, unknown destinations are refused",
               {{"reason", applied}});
  }
  apply_status_ = std::move(applied);
}

// A handshake needs some 50 KiB for a moment. After many at once most of the heap is free
// but scattered between what stays, and malloc() keeps it: give it back when it is quiet.
void Agent::GiveMemoryBack() {
  const std::uint64_t handshakes = counters_.tunnels_dialed + counters_.tunnels_accepted;
  const std::uint64_t recent = handshakes - std::exchange(handshakes_, handshakes);
  if (recent > kQuietHandshakes || handshakes - handshakes_at_trim_ < kTrimAfter) return;
  handshakes_at_trim_ = handshakes;
  malloc_trim(0);
}

// Again and again, because one may just have been opening.
void Agent::EndDrains() {
  const auto past =
      PastDeadlines(*snapshot_, std::chrono::system_clock::now(), std::chrono::steady_clock::now());
  for (const PastDeadline& one : past) {
    for (auto& thread : threads_) {
      thread->Post([one](DataThread& self) { self.EndConnectionsTo(one.cluster, one.passed); });
    }
  }
}

Awaitable<void> Agent::FollowWorkloads() {
  asio::steady_timer timer(io_);
  MonotonicTime next_sweep = After(kSweepInterval);
  for (;;) {
    timer.expires_after(kWorkloadInterval);
    auto [error] = co_await timer.async_wait(kUseTuple);
    if (error) co_return;
    GiveMemoryBack();
    EndDrains();
    if (enrolment_->Update(*snapshot_) || !apply_status_.ok()) Publish();
    if (std::chrono::steady_clock::now() >= next_sweep) {
      datapath_->SweepPending();
      Probe();
      next_sweep = After(kSweepInterval);
    }
  }
}

Awaitable<void> Agent::Run() {
  tasks_.Spawn(FollowChanges(*watcher_, [this] { Reload(); }));
  tasks_.Spawn(FollowWorkloads());
  if (issuance_ != nullptr) issuance_->Run([this] { TakeIssued(); });
  if (shared_directory_ != nullptr) FollowSharedDirectory();
  const std::vector<std::string> not_ready = NotReady();
  log::Info("agent started", {{"cluster", config_.cluster},
                              {"node", config_.node},
                              {"instance", config_.instance},
                              {"threads", threads_.size()},
                              {"ready", not_ready.empty()}});
  while (stops_ == 0) {
    (void)co_await stop_.async_wait(kUseTuple);
  }
  co_await tasks_.CancelAndJoin();
  if (issuance_ != nullptr) co_await issuance_->Stop();
  co_await Drain();
  co_await admin_->Stop();
  for (auto& thread : threads_) thread->Stop();  // all at once, before the first is joined
  threads_.clear();
  log::Info("agent stopped");
}

void Agent::Stop() {
  ++stops_;
  stop_.cancel();
}

// Closing the listeners makes the hook refuse new connections; running ones have
// until the deadline.
Awaitable<void> Agent::Drain() {
  log::Info("draining");
  enrolment_.reset();
  for (auto& thread : threads_) thread->Post([](DataThread& self) { self.Drain(); });
  const bool drained = co_await DrainedBy(After(config_.deadlines.drain));
  if (!drained) {
    log::Warning("drain deadline reached, resetting what is left");
    for (auto& thread : threads_) thread->Post([](DataThread& self) { self.ResetAll(); });
    co_await DrainedBy(After(std::chrono::seconds(3)));
  }
}

Awaitable<bool> Agent::DrainedBy(MonotonicTime deadline) {
  const auto enough = [this, before = stops_] { return stops_ != before; };
  const auto left = [this] { return Running(); };
  co_return co_await WaitUntilNoneLeft(io_, deadline, left, enough);
}

Awaitable<std::size_t> Agent::Running() {
  const ThreadSummary summary = co_await Summary();
  co_return summary.dialed + summary.accepted + summary.accepted_tunnels + summary.closing_tunnels;
}

}  // namespace tombolo::agent
