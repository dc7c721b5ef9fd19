// SPDX-License-Identifier: Apache-2.0
#include "semantics.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/status_macros.h"

namespace tombolo::bench {
namespace {

constexpr int kSilenceMs = 200;
constexpr std::size_t kShown = 16;

}  // namespace

bool Readable(int fd) {
  pollfd entry{.fd = fd, .events = POLLIN, .revents = 0};
  return poll(&entry, 1, kSilenceMs) > 0;
}

std::string Outcome(long result) {
  if (result >= 0) return absl::StrCat(result);
  return strerrorname_np(errno);
}

std::string ReadAll(int fd) {
  std::string seen;
  std::string end = "nothing more";
  std::array<char, 1 << 16> buffer{};
  while (Readable(fd)) {
    const ssize_t n = recv(fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (n > 0) {
      seen.append(buffer.data(), n);
      continue;
    }
    end = n == 0 ? "end of stream" : absl::StrCat(strerrorname_np(errno));
    break;
  }
  const std::string bytes =
      seen.size() <= kShown ? absl::StrCat("'", seen, "'") : absl::StrCat(seen.size(), " bytes");
  return absl::StrCat(seen.empty() ? "no bytes" : bytes, ", ", end);
}

absl::Status SendText(int fd, const std::string& text) {
  for (std::size_t sent = 0; sent < text.size();) {
    const ssize_t n = send(fd, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
    if (n < 0) return ErrnoStatus(errno, "send");
    sent += n;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Finding>> FindSemantics(Redirect& redirect) {
  std::vector<Finding> findings;
  for (const auto& group : {OrderExperiments(), CallExperiments(), MemoryExperiments()}) {
    for (const Experiment& experiment : group) {
      Finding finding{.question = experiment.question, .tcp = {}, .other = {}};
      for (const bool redirected : {false, true}) {
        auto answer = experiment.run(redirected ? &redirect : nullptr);
        if (!answer.ok()) return Annotate(answer.status(), experiment.question);
        (redirected ? finding.other : finding.tcp) = *std::move(answer);
      }
      findings.push_back(std::move(finding));
    }
  }
  return findings;
}

}  // namespace tombolo::bench
