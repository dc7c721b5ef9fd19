// SPDX-License-Identifier: Apache-2.0
#include "directory/publisher.h"

#include <functional>
#include <utility>

#include "base/status_macros.h"
#include "source/directory_keys.h"

namespace tombolo::directory {
namespace {

using source::DirectoryKey;
using Kind = DirectoryKey::Kind;

// Below etcd's own limits (128 operations, 1.5 MiB), which an administrator may have lowered.
constexpr std::size_t kMostOperations = 64;
constexpr std::size_t kMostBytes = 512 * 1024;
constexpr Duration kRetry = std::chrono::seconds(2);

etcd::Compare HasLease(const std::string& key, std::int64_t lease) {
  return {.key = key, .target = etcd::Compare::Target::kLease, .number = lease};
}

}  // namespace

Publisher::Publisher(Options options)
    : options_(std::move(options)),
      gateway_key_(Key(DirectoryKey{
          .kind = Kind::kGateway, .cluster = options_.cluster, .name = options_.gateway}
                           .Text())),
      publisher_key_(
          Key(DirectoryKey{.kind = Kind::kPublisher, .cluster = options_.cluster}.Text())),
      client_(options_.client) {
  thread_ = std::thread([this] { Loop(); });
  const auto set = [this](std::int64_t lease) {
    const std::lock_guard lock(mutex_);
    work_.lease = lease;
    changed_ = true;
    if (lease == 0) view_.announced = view_.publisher = false;
    wake_.notify_all();
  };
  lease_ = std::make_unique<etcd::KeptLease>(
      etcd::KeptLease::Options{.client = options_.client, .ttl = options_.ttl}, set,
      [this, set](const absl::Status& why) {
        set(0);
        const std::lock_guard lock(mutex_);
        view_.error = why;
      });
}

Publisher::~Publisher() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  client_.Close();
  thread_.join();
  lease_.reset();  // its keys go with it
}

void Publisher::SetGateway(std::optional<source::GatewayRecord> record) {
  const std::lock_guard lock(mutex_);
  work_.record = std::move(record);
  changed_ = true;
  wake_.notify_all();
}

void Publisher::SetPublication(source::Publication publication) {
  const std::lock_guard lock(mutex_);
  view_.problems = publication.problems;
  work_.publication = std::move(publication);
  changed_ = true;
  wake_.notify_all();
}

Publisher::View Publisher::view() const {
  const std::lock_guard lock(mutex_);
  return view_;
}

// That it has been put is not enough: an administrator may have removed the cluster, and with it
// the key, and let it join again, all while the lease lives.
absl::StatusOr<bool> Publisher::Keeps(const std::string& key, std::int64_t lease) {
  etcd::Txn txn;
  txn.compares.push_back(HasLease(key, lease));
  ASSIGN_OR_RETURN(const etcd::TxnAnswer answer, client_.Commit(txn));
  return answer.succeeded;
}

absl::Status Publisher::Announce(const Work& work) {
  if (announced_with_ == work.lease && announced_ == work.record) {
    if (!work.record) return absl::OkStatus();
    ASSIGN_OR_RETURN(const bool keeps, Keeps(gateway_key_, work.lease));
    if (keeps) return absl::OkStatus();
  }
  announced_with_ = 0;
  etcd::Txn txn;
  txn.then.push_back(work.record
                         ? etcd::Operation::Put(gateway_key_, Encode(*work.record), work.lease)
                         : etcd::Operation::Delete(gateway_key_));
  RETURN_IF_ERROR(client_.Commit(txn).status());
  announced_with_ = work.lease;
  announced_ = work.record;
  return absl::OkStatus();
}

// Takes the key when nobody has it, or when it is left from an earlier life of this gateway.
absl::Status Publisher::BecomePublisher(const Work& work) {
  if (publisher_with_ == work.lease) {
    ASSIGN_OR_RETURN(const bool keeps, Keeps(publisher_key_, work.lease));
    if (keeps) return absl::OkStatus();
    publisher_with_ = 0;
  }
  const std::string own = Encode(source::PublisherRecord{options_.gateway});
  etcd::Compare free{.key = publisher_key_, .target = etcd::Compare::Target::kCreateRevision};
  etcd::Compare left{
      .key = publisher_key_, .target = etcd::Compare::Target::kValue, .number = 0, .value = own};
  for (etcd::Compare& condition : {std::ref(free), std::ref(left)}) {
    etcd::Txn txn;
    txn.compares.push_back(condition);
    txn.then.push_back(etcd::Operation::Put(publisher_key_, own, work.lease));
    ASSIGN_OR_RETURN(const etcd::TxnAnswer answer, client_.Commit(txn));
    if (!answer.succeeded) continue;
    publisher_with_ = work.lease;
    return absl::OkStatus();
  }
  return absl::OkStatus();
}

absl::Status Publisher::Publish(const Work& work) {
  std::vector<etcd::Operation> all;
  for (const auto& [key, value] : work.publication.puts) {
    all.push_back(etcd::Operation::Put(Key(key), value));
  }
  for (const std::string& key : work.publication.deletes) {
    all.push_back(etcd::Operation::Delete(Key(key)));
  }
  for (std::size_t next = 0; next < all.size();) {
    etcd::Txn txn;
    txn.compares.push_back(HasLease(publisher_key_, work.lease));
    std::size_t bytes = 0;
    while (next < all.size() && txn.then.size() < kMostOperations && bytes < kMostBytes) {
      bytes += all[next].key.size() + all[next].value.size();
      txn.then.push_back(std::move(all[next++]));
    }
    ASSIGN_OR_RETURN(const etcd::TxnAnswer answer, client_.Commit(txn));
    if (!answer.succeeded) {
      publisher_with_ = 0;
      return absl::AbortedError("another gateway has become the publisher");
    }
  }
  return absl::OkStatus();
}

absl::Status Publisher::Do(const Work& work) {
  if (work.lease == 0) return absl::OkStatus();
  RETURN_IF_ERROR(Announce(work));
  if (!work.record) return absl::OkStatus();  // nobody can be sent to it: let others do it
  RETURN_IF_ERROR(BecomePublisher(work));
  return publisher_with_ == work.lease ? Publish(work) : absl::OkStatus();
}

void Publisher::Loop() {
  std::unique_lock lock(mutex_);
  const auto work_there = [this] { return stop_ || changed_; };
  while (!stop_) {
    // Without a change, too: the publisher may be gone, or an attempt have failed.
    wake_.wait_for(lock, kRetry, work_there);
    if (stop_) return;
    changed_ = false;
    const Work work = work_;
    lock.unlock();
    absl::Status done = Do(work);
    // Restored from a backup it may have another ID.
    if (absl::IsUnavailable(done)) client_.ForgetCluster();
    lock.lock();
    if (work.lease != 0 && work_.lease == work.lease) {
      view_.announced = announced_with_ == work.lease && announced_.has_value();
      view_.publisher = publisher_with_ == work.lease;
      // What was published is done, unless there is a newer plan already.
      if (done.ok() && view_.publisher && !changed_) work_.publication = {};
      view_.error = std::move(done);
    }
  }
}

}  // namespace tombolo::directory
