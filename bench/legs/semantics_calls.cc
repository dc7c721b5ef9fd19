// SPDX-License-Identifier: Apache-2.0
// What single calls answer on either end.
#include <errno.h>
#include <fcntl.h>
#include <linux/tls.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
#include "net/socket.h"
#include "semantics.h"

namespace tombolo::bench {
namespace {

using Answer = absl::StatusOr<std::string>;

std::string Fionread(int fd) {
  int waiting = -1;
  if (ioctl(fd, FIONREAD, &waiting) != 0) return strerrorname_np(errno);
  return absl::StrCat(waiting);
}

// A leg with "request" on its way to the agent.
absl::StatusOr<Leg> Sent(Redirect* redirect) {
  ASSIGN_OR_RETURN(Leg leg, OpenLeg(redirect));
  RETURN_IF_ERROR(SendText(leg.application.get(), "request"));
  if (!Readable(leg.agent.get())) return absl::InternalError("poll() does not see the request");
  return leg;
}

Answer FionreadOfApplication(Redirect* redirect) {
  ASSIGN_OR_RETURN(const Leg leg, Sent(redirect));
  RETURN_IF_ERROR(SendText(leg.agent.get(), "answer"));
  if (!Readable(leg.application.get())) return absl::InternalError("no answer");
  return Fionread(leg.application.get());
}

Answer FionreadOfAgent(Redirect* redirect) {
  ASSIGN_OR_RETURN(const Leg leg, Sent(redirect));
  return Fionread(leg.agent.get());
}

// Names of what epoll reports within a tenth of a second.
std::string Events(int epoll) {
  epoll_event event{};
  if (epoll_wait(epoll, &event, 1, 100) < 1) return "nothing";
  std::vector<std::string> names;
  for (const auto& [bit, name] :
       {std::pair{EPOLLIN, "IN"}, std::pair{EPOLLOUT, "OUT"}, std::pair{EPOLLRDHUP, "RDHUP"},
        std::pair{EPOLLHUP, "HUP"}, std::pair{EPOLLERR, "ERR"}}) {
    if ((event.events & bit) != 0) names.emplace_back(name);
  }
  return absl::StrJoin(names, "+");
}

absl::StatusOr<Fd> WatchEdges(int fd) {
  Fd epoll(epoll_create1(EPOLL_CLOEXEC));
  epoll_event event{};
  event.events = EPOLLIN | EPOLLRDHUP | EPOLLET;
  if (epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd, &event) != 0)
    return ErrnoStatus(errno, "epoll_ctl");
  return epoll;
}

Answer EdgesOfApplication(Redirect* redirect) {
  ASSIGN_OR_RETURN(const Leg leg, Sent(redirect));
  ASSIGN_OR_RETURN(const Fd epoll, WatchEdges(leg.application.get()));
  std::string seen = Events(epoll.get());
  RETURN_IF_ERROR(SendText(leg.agent.get(), "answer"));
  absl::StrAppend(&seen, ", ", Events(epoll.get()));
  shutdown(leg.agent.get(), SHUT_WR);
  return absl::StrCat(seen, ", ", Events(epoll.get()), ", ", ReadAll(leg.application.get()));
}

Answer EdgesOfAgent(Redirect* redirect) {
  ASSIGN_OR_RETURN(const Leg leg, OpenLeg(redirect));
  ASSIGN_OR_RETURN(const Fd epoll, WatchEdges(leg.agent.get()));
  std::string seen = Events(epoll.get());
  for (int i = 0; i < 2; ++i) {
    RETURN_IF_ERROR(SendText(leg.application.get(), "request"));
    absl::StrAppend(&seen, ", ", Events(epoll.get()));
  }
  shutdown(leg.application.get(), SHUT_WR);
  return absl::StrCat(seen, ", ", Events(epoll.get()), ", ", ReadAll(leg.agent.get()));
}

// A client that ends its stream and reads to the end of the other. The acknowledgement of its end
// wakes it: TCP delays that after a dialogue.
Answer WaitsForEnd(Redirect* redirect) {
  ASSIGN_OR_RETURN(const Leg leg, OpenLeg(redirect));
  std::array<char, 16> buffer{};
  for (int i = 0; i < 8; ++i) {
    RETURN_IF_ERROR(SendText(leg.application.get(), "request"));
    if (!Readable(leg.agent.get())) return absl::InternalError("no request");
    if (recv(leg.agent.get(), buffer.data(), buffer.size(), 0) < 0)
      return ErrnoStatus(errno, "recv");
    RETURN_IF_ERROR(SendText(leg.agent.get(), "answer"));
    if (recv(leg.application.get(), buffer.data(), buffer.size(), 0) < 0) {
      return ErrnoStatus(errno, "recv");
    }
  }
  shutdown(leg.application.get(), SHUT_WR);
  std::thread agent([&] {
    usleep(200'000);
    shutdown(leg.agent.get(), SHUT_WR);
  });
  const std::string outcome = Outcome(recv(leg.application.get(), buffer.data(), buffer.size(), 0));
  agent.join();
  return outcome;
}

Answer Peek(Redirect* redirect) {
  ASSIGN_OR_RETURN(const Leg leg, Sent(redirect));
  std::array<char, 64> buffer{};
  const long first = recv(leg.agent.get(), buffer.data(), buffer.size(), MSG_PEEK | MSG_DONTWAIT);
  const std::string peeked = Outcome(first);
  const long again = recv(leg.agent.get(), buffer.data(), buffer.size(), MSG_PEEK | MSG_DONTWAIT);
  return absl::StrCat(peeked, ", ", Outcome(again), ", then ", ReadAll(leg.agent.get()));
}

// How the agent takes early bytes that it has peeked at: recv() without a copy.
Answer DiscardWithTruncate(Redirect* redirect) {
  ASSIGN_OR_RETURN(const Leg leg, Sent(redirect));
  std::array<char, 64> buffer{};
  buffer.fill('-');
  const long n = recv(leg.agent.get(), buffer.data(), 3, MSG_TRUNC | MSG_DONTWAIT);
  const bool written = buffer[0] != '-';
  return absl::StrCat(Outcome(n), written ? ", copied" : ", not copied", ", then ",
                      ReadAll(leg.agent.get()));
}

Answer SpliceOut(Redirect* redirect) {
  ASSIGN_OR_RETURN(const Leg leg, Sent(redirect));
  int ends[2];
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return ErrnoStatus(errno, "pipe2");
  const Fd from(ends[0]);
  const Fd to(ends[1]);
  const long n = splice(leg.agent.get(), nullptr, to.get(), nullptr, 4096, SPLICE_F_NONBLOCK);
  return absl::StrCat(Outcome(n), ", poll says ",
                      n < 0 && Readable(leg.agent.get()) ? "readable" : "nothing more");
}

Answer SendFile(Redirect* redirect) {
  ASSIGN_OR_RETURN(const Leg leg, OpenLeg(redirect));
  const Fd file(memfd_create("legs", MFD_CLOEXEC));
  const std::string content(100'000, 'f');
  if (write(file.get(), content.data(), content.size()) < 0) return ErrnoStatus(errno, "write");
  off_t offset = 0;
  SetBlocking(leg.application.get(), false);
  const std::string sent =
      Outcome(sendfile(leg.application.get(), file.get(), &offset, content.size()));
  return absl::StrCat(sent, ", agent: ", ReadAll(leg.agent.get()));
}

Answer ZeroCopySend(Redirect* redirect) {
  ASSIGN_OR_RETURN(const Leg leg, OpenLeg(redirect));
  const int one = 1;
  if (setsockopt(leg.application.get(), SOL_SOCKET, SO_ZEROCOPY, &one, sizeof one) != 0) {
    return ErrnoStatus(errno, "SO_ZEROCOPY");
  }
  const std::string data(100'000, 'z');
  const std::string sent =
      Outcome(send(leg.application.get(), data.data(), data.size(), MSG_ZEROCOPY | MSG_DONTWAIT));
  const std::string agent = ReadAll(leg.agent.get());
  std::array<char, 256> control{};
  msghdr message{};
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const long told = recvmsg(leg.application.get(), &message, MSG_ERRQUEUE | MSG_DONTWAIT);
  return absl::StrCat(sent, ", agent: ", agent, ", completion: ", told < 0 ? "none" : "yes");
}

Answer Urgent(Redirect* redirect) {
  ASSIGN_OR_RETURN(const Leg leg, OpenLeg(redirect));
  RETURN_IF_ERROR(SendText(leg.application.get(), "ab"));
  const std::string sent = Outcome(send(leg.application.get(), "!", 1, MSG_OOB | MSG_NOSIGNAL));
  RETURN_IF_ERROR(SendText(leg.application.get(), "cd"));
  usleep(10'000);
  std::array<char, 8> buffer{};
  const std::string urgent = Outcome(recv(leg.agent.get(), buffer.data(), 1, MSG_OOB));
  std::string normal;
  while (Readable(leg.agent.get())) {
    const long n = recv(leg.agent.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (n <= 0) break;
    normal.append(buffer.data(), n);
  }
  return absl::StrCat("send ", sent, ", recv(MSG_OOB) ", urgent, ", stream '", normal, "'");
}

// What an application does that wants kernel TLS for its own connection.
Answer KernelTls(Redirect* redirect) {
  ASSIGN_OR_RETURN(const Leg leg, OpenLeg(redirect));
  const std::string ulp =
      Outcome(setsockopt(leg.application.get(), SOL_TCP, TCP_ULP, "tls", sizeof "tls"));
  tls12_crypto_info_aes_gcm_128 keys{};
  keys.info.version = TLS_1_3_VERSION;
  keys.info.cipher_type = TLS_CIPHER_AES_GCM_128;
  const std::string tx =
      Outcome(setsockopt(leg.application.get(), SOL_TLS, TLS_TX, &keys, sizeof keys));
  RETURN_IF_ERROR(SendText(leg.application.get(), "secret"));
  return absl::StrCat("TCP_ULP ", ulp, ", TLS_TX ", tx,
                      ", 'secret' sent, agent: ", ReadAll(leg.agent.get()));
}

// Kernel TLS that is there before the maps.
Answer JoinsWithKernelTls(Redirect* redirect) {
  if (redirect == nullptr) return "-";
  ASSIGN_OR_RETURN(const Leg leg, OpenLeg(nullptr));
  if (setsockopt(leg.application.get(), SOL_TCP, TCP_ULP, "tls", sizeof "tls") != 0) {
    return absl::StrCat("TCP_ULP ", strerrorname_np(errno));
  }
  const absl::Status added = redirect->AddApplication(leg.application.get());
  return added.ok() ? "taken" : std::string(strerrorname_np(ErrnoOf(added)));
}

// What TCP_INFO and with it every tool and every application's monitoring say.
Answer CountedByTcp(Redirect* redirect) {
  ASSIGN_OR_RETURN(const Leg leg, OpenLeg(redirect));
  ASSIGN_OR_RETURN(const std::uint64_t before, net::BytesGivenToTcp(leg.application.get()));
  RETURN_IF_ERROR(SendText(leg.application.get(), "request"));
  ASSIGN_OR_RETURN(const std::uint64_t after, net::BytesGivenToTcp(leg.application.get()));
  return absl::StrCat(after - before);
}

}  // namespace

std::vector<Experiment> CallExperiments() {
  return {{"FIONREAD of the application with 6 bytes of an answer", FionreadOfApplication},
          {"FIONREAD of the agent with 7 bytes of a request", FionreadOfAgent},
          {"edges of the application: before, answer, end", EdgesOfApplication},
          {"edges of the agent: before, two requests, end", EdgesOfAgent},
          {"application half-closes and waits in recv() for the agent's end", WaitsForEnd},
          {"MSG_PEEK twice and a read by the agent", Peek},
          {"recv(MSG_TRUNC) of 3 of 7 bytes by the agent", DiscardWithTruncate},
          {"splice() by the agent", SpliceOut},
          {"sendfile() of 100000 bytes by the application", SendFile},
          {"send(MSG_ZEROCOPY) of 100000 bytes by the application", ZeroCopySend},
          {"'ab', urgent '!', 'cd' by the application", Urgent},
          {"bytes that TCP_INFO of the application counts for 7 sent", CountedByTcp},
          {"kernel TLS of the application's own, on its leg", KernelTls},
          {"a socket with the TLS ULP enters the map", JoinsWithKernelTls}};
}

}  // namespace tombolo::bench
