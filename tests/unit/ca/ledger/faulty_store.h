// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <utility>

#include "store/store.h"

namespace tombolo::ca {

// A store whose commits and reads a test may lose, delay and refuse.
class FaultyStore : public Store {
 public:
  using OnCommit =
      std::function<absl::StatusOr<std::int64_t>(Store& store, const Transaction& transaction)>;

  explicit FaultyStore(std::shared_ptr<Store> store) : store_(std::move(store)) {}

  // What happens to a commit from now on.
  void SetOnCommit(OnCommit on_commit) {
    const std::lock_guard lock(mutex_);
    on_commit_ = std::move(on_commit);
  }
  // What reads say before they read.
  void SetOnRead(std::function<absl::Status()> on_read) {
    const std::lock_guard lock(mutex_);
    on_read_ = std::move(on_read);
  }

  Limits limits() const override { return limits_ ? *limits_ : store_->limits(); }
  void SetLimits(Limits limits) { limits_ = limits; }

  absl::StatusOr<std::optional<Stored>> Get(const std::string& key) override {
    if (absl::Status status = OnRead(); !status.ok()) return status;
    return store_->Get(key);
  }
  absl::StatusOr<std::vector<Stored>> List(const std::string& prefix, const std::string& after,
                                           std::size_t limit) override {
    if (absl::Status status = OnRead(); !status.ok()) return status;
    return store_->List(prefix, after, limit);
  }
  absl::StatusOr<std::int64_t> Commit(const Transaction& transaction) override {
    OnCommit on_commit;
    {
      const std::lock_guard lock(mutex_);
      on_commit = on_commit_;
    }
    return on_commit ? on_commit(*store_, transaction) : store_->Commit(transaction);
  }
  absl::StatusOr<std::int64_t> Revision() override {
    if (absl::Status status = OnRead(); !status.ok()) return status;
    return store_->Revision();
  }

 private:
  absl::Status OnRead() {
    const std::lock_guard lock(mutex_);
    return on_read_ ? on_read_() : absl::OkStatus();
  }

  const std::shared_ptr<Store> store_;
  std::optional<Limits> limits_;
  std::mutex mutex_;
  OnCommit on_commit_;
  std::function<absl::Status()> on_read_;
};

}  // namespace tombolo::ca
