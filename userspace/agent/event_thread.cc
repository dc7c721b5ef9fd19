// SPDX-License-Identifier: Apache-2.0
#include "agent/event_thread.h"

#include <sched.h>

#include <exception>

#include <boost/asio/co_spawn.hpp>
#include <pthread.h>

#include "base/status_macros.h"

namespace tombolo::agent {
namespace {

// A thread that is woken takes the core from whoever has woken it, as a rule. With a batch
// thread the application goes on until it waits: then there is more than one event to deal
// with, and both have fewer context switches (docs/performance.md). Another policy than the
// default is somebody's decision, and is kept.
void YieldToApplications() {
  if (sched_getscheduler(0) != SCHED_OTHER) return;
  const sched_param none{};
  (void)sched_setscheduler(0, SCHED_BATCH, &none);  // costs speed only, if refused
}

}  // namespace

absl::StatusOr<std::unique_ptr<EventThread>> EventThread::Create() {
  auto thread = std::unique_ptr<EventThread>(new EventThread);
  ASSIGN_OR_RETURN(thread->poller_, net::Poller::Create(thread->io_));
  return thread;
}

void EventThread::Start() {
  thread_ = std::thread([this] { Run(); });
}

void EventThread::Run() {
  pthread_setname_np(pthread_self(), "tombolo-data");
  YieldToApplications();
  poller_->Run();
}

void EventThread::Stop(std::function<Awaitable<void>()> farewell) {
  if (std::exchange(stopping_, true) || !thread_.joinable()) return;
  Post([this, farewell = std::move(farewell)] {
    asio::co_spawn(io_, farewell(), [this](std::exception_ptr) { poller_->Stop(); });
  });
}

void EventThread::Join() {
  if (thread_.joinable()) thread_.join();
}

void EventThread::Post(std::function<void()> task) {
  asio::post(io_, std::move(task));
  poller_->Wake();
}

}  // namespace tombolo::agent
