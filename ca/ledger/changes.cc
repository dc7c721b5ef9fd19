// SPDX-License-Identifier: Apache-2.0
#include "ledger/changes.h"

#include <utility>

#include "base/status_macros.h"
#include "ledger/reader.h"

namespace tombolo::ca {

Changes::Changes(std::shared_ptr<Store> store, Options options, Listener listener)
    : store_(std::move(store)),
      options_(options),
      listener_(std::move(listener)),
      thread_([this] { Work(); }) {}

Changes::~Changes() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  stop_.notify_one();
  thread_.join();
}

void Changes::Work() {
  for (;;) {
    const absl::Status polled = Poll();
    if (!polled.ok() && !failing_) listener_(polled);
    failing_ = !polled.ok();
    std::unique_lock lock(mutex_);
    if (stop_.wait_for(lock, options_.interval, [this] { return stopping_; })) return;
  }
}

absl::Status Changes::Poll() {
  ASSIGN_OR_RETURN(const std::int64_t revision, store_->Revision());
  if (revision == revision_) {
    if (failing_) listener_(Change{.head = seen_});
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const Reader::Head found, Reader(*store_).FindHead());
  const Change change{.revocations = found.head.revocation != seen_.revocation,
                      .documents = found.head.document != seen_.document,
                      .head = found.head};
  // In this order: what is committed from here on has another revision.
  revision_ = revision;
  seen_ = found.head;
  if (change.revocations || change.documents || failing_) listener_(change);
  return absl::OkStatus();
}

}  // namespace tombolo::ca
