// SPDX-License-Identifier: Apache-2.0
#include "child.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"

namespace tombolo::bench {
namespace {

// What a child says at its end.
struct Report {
  Usage usage;
  std::array<char, 256> error{};  // empty: none
};

[[noreturn]] void RunPart(int pipe, unsigned patience, Child::Part part) {
  alarm(patience);  // ends the process
  bool told = true;
  const auto ready = [&] {
    char byte = 'r';
    told = send(pipe, &byte, 1, MSG_NOSIGNAL) == 1 && recv(pipe, &byte, 1, 0) == 1;
  };
  const absl::StatusOr<Usage> usage = part(ready);
  Report report;
  if (usage.ok()) {
    report.usage = *usage;
  } else {
    const std::string message(usage.status().message());
    std::copy_n(message.data(), std::min(message.size(), report.error.size() - 1),
                report.error.data());
  }
  told = told && send(pipe, &report, sizeof report, MSG_NOSIGNAL) == sizeof report;
  _exit(told ? 0 : 1);
}

}  // namespace

absl::StatusOr<Child> Child::Fork(const char* name, std::chrono::seconds patience, Part part) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return ErrnoStatus(errno, "socketpair");
  }
  Fd ours(ends[0]);
  const Fd theirs(ends[1]);
  const pid_t pid = fork();
  if (pid < 0) return ErrnoStatus(errno, "fork");
  if (pid == 0) {
    ours = Fd();
    RunPart(theirs.get(), static_cast<unsigned>(patience.count()), part);
  }
  return Child(name, pid, std::move(ours));
}

Child::~Child() {
  if (pid_ < 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

absl::Status Child::AwaitReady() {
  char byte;
  if (recv(pipe_.get(), &byte, 1, 0) == 1 && byte == 'r') return absl::OkStatus();
  return absl::InternalError(absl::StrCat("the ", name_, " did not start"));
}

absl::Status Child::Start() {
  const char byte = 's';
  if (send(pipe_.get(), &byte, 1, MSG_NOSIGNAL) == 1) return absl::OkStatus();
  return ErrnoStatus(errno, absl::StrCat("start the ", name_));
}

absl::StatusOr<Usage> Child::Finish() {
  Report report;
  const ssize_t n = recv(pipe_.get(), &report, sizeof report, 0);
  if (n != sizeof report) {
    return absl::DeadlineExceededError(absl::StrCat("the ", name_, " took too long, or died"));
  }
  if (report.error[0] == '\0') return report.usage;
  return absl::InternalError(absl::StrCat(name_, ": ", report.error.data()));
}

}  // namespace tombolo::bench
