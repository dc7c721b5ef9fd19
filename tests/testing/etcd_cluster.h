// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "testing/temporary_directory.h"

namespace tombolo::testing {

// Real etcd members on loopback, with a directory of their own. They die with it,
// and with the thread that has started them.
class EtcdCluster {
 public:
  // What every member is given beside its name, addresses and directory.
  struct Options {
    int members = 1;
    std::string scheme = "http";  // of what clients talk to
    std::vector<std::string> flags{};
  };

  // NotFound when this machine has no etcd.
  static absl::Status Ready();

  // Started, but perhaps not yet ready to answer: see WaitUntilReady().
  static std::unique_ptr<EtcdCluster> Start(const Options& options);
  ~EtcdCluster();

  int size() const { return static_cast<int>(members_.size()); }
  std::string endpoint(int member) const;  // a URL
  std::vector<std::string> endpoints() const;

  void Kill(int member);   // SIGKILL
  void Begin(int member);  // again, with what it has on disk
  void Pause(int member);  // SIGSTOP, until Kill()

  // What is on the disks of its members, of which none must run: keeps a copy, goes back to
  // the copy (as after a restore from a backup), or throws it away for another cluster.
  void Save();
  void GoBack();
  void BeginAnother();

  // Until every member answers for a majority, 20 s at most; with authentication, too.
  absl::Status WaitUntilReady() const;

 private:
  struct Member {
    std::string name, peer_url, client_url;
    pid_t process = -1;
  };

  explicit EtcdCluster(const Options& options);
  std::vector<std::string> Arguments(const Member& member) const;
  std::string LogOf(const Member& member) const { return directory_ / (member.name + ".log"); }
  std::string DataOf(const Member& member) const { return directory_ / member.name; }

  const Options options_;
  TemporaryDirectory directory_;
  std::string peers_;   // --initial-cluster
  int generation_ = 0;  // of the cluster's ID
  std::vector<Member> members_;
};

}  // namespace tombolo::testing
