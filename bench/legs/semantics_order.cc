// SPDX-License-Identifier: Apache-2.0
// In which order bytes come, and what is left of them when somebody ends, resets or dies.
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "net/socket.h"
#include "semantics.h"

namespace tombolo::bench {
namespace {

using Answer = absl::StatusOr<std::string>;

// As when the maps learn of a connection after connect() has returned.
Answer JoinsLate(Redirect* redirect) {
  ASSIGN_OR_RETURN(const Leg leg, OpenLeg(nullptr));
  RETURN_IF_ERROR(SendText(leg.application.get(), "first"));
  if (!Readable(leg.agent.get())) return absl::InternalError("nothing arrived");
  if (redirect != nullptr) {
    RETURN_IF_ERROR(redirect->AddAgent(leg.agent.get()));
    RETURN_IF_ERROR(redirect->AddApplication(leg.application.get()));
  }
  RETURN_IF_ERROR(SendText(leg.application.get(), "SECOND"));
  usleep(10'000);
  return ReadAll(leg.agent.get());
}

// The map lacks the agent's socket for one of three writes: an insertion that failed or came late.
Answer ReceiverAppears(Redirect* redirect) {
  ASSIGN_OR_RETURN(const Leg leg, OpenLeg(nullptr));
  if (redirect != nullptr) RETURN_IF_ERROR(redirect->AddApplication(leg.application.get()));
  RETURN_IF_ERROR(SendText(leg.application.get(), "first"));
  if (!Readable(leg.agent.get())) return absl::InternalError("nothing arrived");
  if (redirect != nullptr) RETURN_IF_ERROR(redirect->AddAgent(leg.agent.get()));
  RETURN_IF_ERROR(SendText(leg.application.get(), "SECOND"));
  usleep(10'000);
  return ReadAll(leg.agent.get());
}

Answer ApplicationLeavesMap(Redirect* redirect) {
  ASSIGN_OR_RETURN(const Leg leg, OpenLeg(redirect));
  RETURN_IF_ERROR(SendText(leg.application.get(), "first"));
  if (redirect != nullptr) RETURN_IF_ERROR(redirect->RemoveApplication(leg.application.get()));
  RETURN_IF_ERROR(SendText(leg.application.get(), "SECOND"));
  usleep(10'000);
  return ReadAll(leg.agent.get());
}

// Also what the end of an unpinned map does to every socket in it.
Answer AgentLeavesMap(Redirect* redirect) {
  ASSIGN_OR_RETURN(const Leg leg, OpenLeg(redirect));
  RETURN_IF_ERROR(SendText(leg.application.get(), "first"));
  if (redirect != nullptr) RETURN_IF_ERROR(redirect->RemoveAgent(leg.agent.get()));
  RETURN_IF_ERROR(SendText(leg.application.get(), "SECOND"));
  usleep(10'000);
  return ReadAll(leg.agent.get());
}

Answer HalfCloseBehindData(Redirect* redirect) {
  ASSIGN_OR_RETURN(const Leg leg, OpenLeg(redirect));
  RETURN_IF_ERROR(SendText(leg.application.get(), "data"));
  shutdown(leg.application.get(), SHUT_WR);
  usleep(10'000);
  const std::string agent = ReadAll(leg.agent.get());
  RETURN_IF_ERROR(SendText(leg.agent.get(), "answer"));
  return absl::StrCat(agent, "; then the application: ", ReadAll(leg.application.get()));
}

Answer CloseBehindData(Redirect* redirect) {
  ASSIGN_OR_RETURN(Leg leg, OpenLeg(redirect));
  RETURN_IF_ERROR(SendText(leg.application.get(), "data"));
  leg.application = Fd();
  usleep(10'000);
  return ReadAll(leg.agent.get());
}

// The server has said its last word, and the client's is on its way: the usual end of a relay.
Answer LastWordAfterAgentsEnd(Redirect* redirect) {
  ASSIGN_OR_RETURN(Leg leg, OpenLeg(redirect));
  shutdown(leg.agent.get(), SHUT_WR);
  RETURN_IF_ERROR(SendText(leg.application.get(), "data"));
  leg.application = Fd();
  usleep(10'000);
  return ReadAll(leg.agent.get());
}

Answer ResetBehindData(Redirect* redirect) {
  ASSIGN_OR_RETURN(Leg leg, OpenLeg(redirect));
  RETURN_IF_ERROR(SendText(leg.application.get(), "data"));
  net::ResetOnClose(leg.application.get());
  leg.application = Fd();
  usleep(10'000);
  return ReadAll(leg.agent.get());
}

// Data, and the application's own end, are not read when the agent goes: all that an application
// whose last action was shutdown() learns.
Answer AgentDies(Redirect* redirect, bool reset) {
  ASSIGN_OR_RETURN(Leg leg, OpenLeg(redirect));
  RETURN_IF_ERROR(SendText(leg.application.get(), "data"));
  if (reset) net::ResetOnClose(leg.agent.get());
  leg.agent = Fd();  // what a process does to its sockets when it is killed
  usleep(10'000);
  const std::string read = ReadAll(leg.application.get());
  const std::string sent = Outcome(send(leg.application.get(), "x", 1, MSG_NOSIGNAL));
  return absl::StrCat("read: ", read, "; then send: ", sent);
}

Answer AgentDiesPlain(Redirect* redirect) { return AgentDies(redirect, /*reset=*/false); }
Answer AgentDiesWithLinger(Redirect* redirect) { return AgentDies(redirect, /*reset=*/true); }

}  // namespace

std::vector<Experiment> OrderExperiments() {
  return {{"'first' sent, then both sockets enter the maps, then 'SECOND'; agent reads", JoinsLate},
          {"the same, only the agent's socket is late", ReceiverAppears},
          {"'first' sent, application leaves the map, 'SECOND'; agent reads", ApplicationLeavesMap},
          {"'first' sent, agent leaves the map, 'SECOND'; agent reads", AgentLeavesMap},
          {"application sends and half-closes; agent reads and answers", HalfCloseBehindData},
          {"application sends and closes; agent reads", CloseBehindData},
          {"agent half-closes, application sends and closes; agent reads", LastWordAfterAgentsEnd},
          {"application sends and resets; agent reads", ResetBehindData},
          {"agent closes with unread bytes; application", AgentDiesPlain},
          {"the same with SO_LINGER 0, as the agent has it", AgentDiesWithLinger}};
}

}  // namespace tombolo::bench
