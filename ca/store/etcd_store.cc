// SPDX-License-Identifier: Apache-2.0
#include "store/etcd_store.h"

#include <limits>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "etcd/client.h"
#include "etcd/listing.h"
#include "etcd/settings.h"

namespace tombolo::ca {
namespace {

// etcd's own limits, unless somebody lowers them: 128 operations (--max-txn-ops,
// conditions and changes each) and 1.5 MiB (--max-request-bytes), of which prefixes
// and framing get a part.
constexpr Store::Limits kLimits{.operations = 120, .bytes = 1 << 20};
constexpr std::size_t kMaxPrefix = 256;
// Greater than whatever a key may go on with, and no key.
constexpr char kEnd[] = "\x7f";

class EtcdStoreImpl : public Store {
 public:
  EtcdStoreImpl(etcd::Client::Options client, std::string prefix)
      : client_(std::move(client)), prefix_(std::move(prefix)) {}

  Limits limits() const override { return kLimits; }

  absl::StatusOr<std::optional<Stored>> Get(const std::string& key) override {
    if (!CheckKey(key).ok()) return std::nullopt;  // nobody can have put it
    ASSIGN_OR_RETURN(etcd::RangeAnswer answer, Ask({.key = prefix_ + key}));
    if (answer.entries.empty()) return std::nullopt;
    if (answer.entries.size() > 1 || answer.entries[0].key != key) return Strange(key);
    return ToStored(std::move(answer.entries[0]));
  }

  absl::StatusOr<std::vector<Stored>> List(const std::string& prefix, const std::string& after,
                                           std::size_t limit) override {
    // Behind `after` itself, if that is not before all of them anyway.
    const std::string first = after < prefix ? prefix : after + '\0';
    std::vector<Stored> found;
    if (first >= prefix + kEnd) return found;
    ASSIGN_OR_RETURN(
        etcd::RangeAnswer answer,
        etcd::ListAll(client_,
                      {.key = prefix_ + first, .end = prefix_ + prefix + kEnd, .limit = limit},
                      std::numeric_limits<std::size_t>::max()));
    found.reserve(answer.entries.size());
    for (etcd::KeyValue& entry : answer.entries) {
      entry.key.erase(0, prefix_.size());
      found.push_back(ToStored(std::move(entry)));
    }
    return found;
  }

  absl::StatusOr<std::int64_t> Commit(const Transaction& transaction) override {
    RETURN_IF_ERROR(CheckTransaction(transaction, kLimits));
    ASSIGN_OR_RETURN(const etcd::TxnAnswer answer, client_.Commit(ToTxn(transaction)));
    if (answer.succeeded) return answer.revision;
    return absl::AbortedError("a key that the change depends on has changed");
  }

  // Looking for any key tells it; this one is never there.
  absl::StatusOr<std::int64_t> Revision() override {
    ASSIGN_OR_RETURN(const etcd::RangeAnswer answer,
                     Ask({.key = prefix_ + kEnd, .count_only = true}));
    return answer.revision;
  }

 private:
  // With the keys as this store's.
  absl::StatusOr<etcd::RangeAnswer> Ask(const etcd::RangeRequest& range) {
    ASSIGN_OR_RETURN(etcd::RangeAnswer answer, client_.Range(range));
    for (etcd::KeyValue& entry : answer.entries) {
      if (!absl::StartsWith(entry.key, prefix_)) return Strange(prefix_);
      entry.key.erase(0, prefix_.size());
    }
    return answer;
  }

  etcd::Txn ToTxn(const Transaction& transaction) const {
    etcd::Txn txn;
    for (const Transaction::Condition& condition : transaction.conditions) {
      txn.compares.push_back({.key = prefix_ + condition.key, .number = condition.revision});
    }
    for (const Transaction::Put& put : transaction.puts) {
      txn.then.push_back(etcd::Operation::Put(prefix_ + put.key, put.value));
    }
    for (const std::string& key : transaction.deletes) {
      txn.then.push_back(etcd::Operation::Delete(prefix_ + key));
    }
    return txn;
  }

  static Stored ToStored(etcd::KeyValue entry) {
    return {.key = std::move(entry.key),
            .value = std::move(entry.value),
            .revision = entry.mod_revision};
  }

  static absl::Status Strange(const std::string& asked) {
    return absl::DataLossError(
        absl::StrCat("etcd was asked for '", asked, "' and answered with another key"));
  }

  etcd::Client client_;
  const std::string prefix_;
};

}  // namespace

absl::Status EtcdStore::CheckPrefix(absl::string_view prefix) {
  if (prefix.empty()) return absl::OkStatus();
  if (prefix.size() > kMaxPrefix) {
    return absl::InvalidArgumentError(absl::StrCat(
        "etcd prefix '", prefix.substr(0, 32), "...': has more than ", kMaxPrefix, " characters"));
  }
  return CheckKey(prefix);
}

absl::StatusOr<std::unique_ptr<Store>> EtcdStore::Open(Options options) {
  RETURN_IF_ERROR(CheckPrefix(options.prefix));
  etcd::Client::Options client{.endpoints = {},
                               .tls = options.tls,
                               .connect = options.connect,
                               .answer = options.answer,
                               .call = options.call};
  ASSIGN_OR_RETURN(client.endpoints,
                   etcd::ParseEndpoints(options.endpoints, options.tls != nullptr));
  return std::make_unique<EtcdStoreImpl>(std::move(client), std::move(options.prefix));
}

}  // namespace tombolo::ca
