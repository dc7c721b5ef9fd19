// SPDX-License-Identifier: Apache-2.0
#include "testing/etcd_cluster.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/fd.h"
#include "etcd/client.h"
#include "testing/loopback_listener.h"

namespace tombolo::testing {
namespace {

std::string FindEtcd() {
  const char* path = std::getenv("PATH");
  for (const absl::string_view directory : absl::StrSplit(path == nullptr ? "" : path, ':')) {
    std::string program = absl::StrCat(directory, "/etcd");
    if (access(program.c_str(), X_OK) == 0) return program;
  }
  return "";
}

// Distinct ports that were free just now.
std::vector<int> FreePorts(int count) {
  std::vector<LoopbackListener> held(static_cast<std::size_t>(count));
  std::vector<int> ports;
  for (const LoopbackListener& listener : held) ports.push_back(listener.port());
  return ports;
}

// Only what is safe between fork() and exec() of a process that has threads.
pid_t Spawn(const std::vector<std::string>& arguments, const std::string& log) {
  std::vector<char*> raw;
  for (const std::string& argument : arguments) raw.push_back(const_cast<char*>(argument.c_str()));
  raw.push_back(nullptr);
  const Fd out(open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  const pid_t process = fork();
  if (process != 0) return process;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  dup2(out.get(), STDOUT_FILENO);
  dup2(out.get(), STDERR_FILENO);
  execv(raw[0], raw.data());
  _exit(127);
}

std::string TailOf(const std::string& path) {
  std::string text;
  if (FILE* file = fopen(path.c_str(), "r")) {
    char part[4096];
    for (std::size_t got; (got = fread(part, 1, sizeof(part), file)) > 0;) text.append(part, got);
    fclose(file);
  }
  return text.size() <= 2000 ? text : text.substr(text.size() - 2000);
}

}  // namespace

absl::Status EtcdCluster::Ready() {
  if (!FindEtcd().empty()) return absl::OkStatus();
  return absl::NotFoundError("etcd (Debian package etcd-server)");
}

std::unique_ptr<EtcdCluster> EtcdCluster::Start(const Options& options) {
  std::unique_ptr<EtcdCluster> cluster(new EtcdCluster(options));
  for (int i = 0; i < options.members; ++i) cluster->Begin(i);
  return cluster;
}

EtcdCluster::EtcdCluster(const Options& options) : options_(options) {
  const std::vector<int> ports = FreePorts(2 * options.members);
  std::vector<std::string> peers;
  for (int i = 0; i < options.members; ++i) {
    const auto at = static_cast<std::size_t>(2 * i);
    members_.push_back(
        {.name = absl::StrCat("m", i),
         .peer_url = absl::StrCat("http://127.0.0.1:", ports[at]),
         .client_url = absl::StrCat(options.scheme, "://127.0.0.1:", ports[at + 1])});
    peers.push_back(absl::StrCat(members_.back().name, "=", members_.back().peer_url));
  }
  peers_ = absl::StrJoin(peers, ",");
}

EtcdCluster::~EtcdCluster() {
  for (int i = 0; i < size(); ++i) Kill(i);
}

std::string EtcdCluster::endpoint(int member) const {
  return members_[static_cast<std::size_t>(member)].client_url;
}

std::vector<std::string> EtcdCluster::endpoints() const {
  std::vector<std::string> urls;
  for (const Member& member : members_) urls.push_back(member.client_url);
  return urls;
}

void EtcdCluster::Kill(int member) {
  pid_t& process = members_[static_cast<std::size_t>(member)].process;
  if (process <= 0) return;
  kill(process, SIGKILL);
  waitpid(process, nullptr, 0);
  process = -1;
}

void EtcdCluster::Begin(int member) {
  Member& begun = members_[static_cast<std::size_t>(member)];
  begun.process = Spawn(Arguments(begun), LogOf(begun));
  ASSERT_GT(begun.process, 0);
}

void EtcdCluster::Pause(int member) {
  const pid_t process = members_[static_cast<std::size_t>(member)].process;
  kill(process, SIGSTOP);
  waitpid(process, nullptr, WUNTRACED);  // its threads run on for a while
}

void EtcdCluster::Save() {
  for (const Member& member : members_) {
    std::filesystem::remove_all(DataOf(member) + ".saved");
    std::filesystem::copy(DataOf(member), DataOf(member) + ".saved",
                          std::filesystem::copy_options::recursive);
  }
}

void EtcdCluster::GoBack() {
  for (const Member& member : members_) {
    std::filesystem::remove_all(DataOf(member));
    std::filesystem::rename(DataOf(member) + ".saved", DataOf(member));
  }
}

void EtcdCluster::BeginAnother() {
  ++generation_;
  for (int i = 0; i < size(); ++i) {
    std::filesystem::remove_all(DataOf(members_[static_cast<std::size_t>(i)]));
    Begin(i);
  }
}

std::vector<std::string> EtcdCluster::Arguments(const Member& member) const {
  // Elections in half a second instead of one to two.
  std::vector<std::string> arguments = {
      FindEtcd(),
      "--name=" + member.name,
      "--data-dir=" + DataOf(member),
      "--listen-peer-urls=" + member.peer_url,
      "--initial-advertise-peer-urls=" + member.peer_url,
      "--listen-client-urls=" + member.client_url,
      "--advertise-client-urls=" + member.client_url,
      "--initial-cluster=" + peers_,
      absl::StrCat("--initial-cluster-token=", peers_, generation_),
      "--heartbeat-interval=50",
      "--election-timeout=500",
      "--logger=zap",
      "--log-level=warn"};
  arguments.insert(arguments.end(), options_.flags.begin(), options_.flags.end());
  return arguments;
}

absl::Status EtcdCluster::WaitUntilReady() const {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  for (int i = 0; i < size(); ++i) {
    const auto parsed = etcd::ParseEndpoint(endpoint(i));
    if (!parsed.ok()) return parsed.status();
    etcd::Client client({.endpoints = {*parsed}});
    for (;;) {
      const absl::Status answered = client.Range({.key = "/"}).status();
      if (answered.ok() || absl::IsUnauthenticated(answered)) break;
      if (std::chrono::steady_clock::now() > deadline) {
        return absl::UnavailableError(absl::StrCat(
            answered.message(), "\n", TailOf(LogOf(members_[static_cast<std::size_t>(i)]))));
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }
  return absl::OkStatus();
}

}  // namespace tombolo::testing
