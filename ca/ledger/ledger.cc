// SPDX-License-Identifier: Apache-2.0
#include "ledger/ledger.h"

#include <future>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace tombolo::ca {
namespace {

// Whoever cuts entries off without the head, or changes the last one, is found
// here; Verify() finds the rest.
absl::Status CheckEnd(Store& store) {
  ASSIGN_OR_RETURN(const Reader::Head end, Reader(store).FindHead());
  if (end.head.sequence == 0) return absl::OkStatus();
  const std::string key = AuditKey(end.head.sequence);
  ASSIGN_OR_RETURN(const std::optional<Stored> last, store.Get(key));
  if (last && DigestHex(last->value) == end.head.digest) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("the audit log's last entry, ", key, ", ",
                                          last ? "has been changed" : "is missing"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Ledger>> Ledger::Open(std::shared_ptr<Store> store,
                                                     Options options) {
  RETURN_IF_ERROR(CheckEnd(*store));
  return std::unique_ptr<Ledger>(new Ledger(std::move(store), std::move(options)));
}

Ledger::Ledger(std::shared_ptr<Store> store, Options options)
    : store_(std::move(store)), options_(std::move(options)), thread_([this] { Work(); }) {}

Ledger::~Ledger() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  posted_.notify_one();
  thread_.join();
}

void Ledger::Issue(Certificate certificate, std::optional<Payment> payment, std::string actor,
                   Done done) {
  Post(IssueCertificate(std::move(certificate), std::move(payment), std::nullopt, std::move(actor)),
       std::move(done));
}

void Ledger::Issue(Certificate certificate, std::optional<Payment> payment, Basis basis,
                   std::string actor, Done done) {
  Post(IssueCertificate(std::move(certificate), std::move(payment), basis, std::move(actor)),
       std::move(done));
}

void Ledger::Install(Certificate certificate, std::string actor, Done done) {
  Post(InstallCertificate(std::move(certificate), std::move(actor)), std::move(done));
}

void Ledger::AddToken(Token token, std::string actor, Done done) {
  Post(ca::AddToken(std::move(token), std::move(actor)), std::move(done));
}

void Ledger::RemoveToken(std::string digest, std::string actor, Done done) {
  Post(ca::RemoveToken(std::move(digest), std::move(actor)), std::move(done));
}

void Ledger::Revoke(Revocation revocation, std::optional<Basis> basis, std::string actor,
                    Done done) {
  Post(ca::Revoke(std::move(revocation), basis, std::move(actor)), std::move(done));
}

void Ledger::Unrevoke(Revocation revocation, std::optional<Basis> basis, std::string actor,
                      Done done) {
  Post(ca::Unrevoke(std::move(revocation), basis, std::move(actor)), std::move(done));
}

void Ledger::PutDocument(std::string name, std::string value, std::optional<std::int64_t> revision,
                         std::optional<Basis> basis, std::string actor, Done done) {
  Post(ca::PutDocument(std::move(name), std::move(value), revision, basis, std::move(actor)),
       std::move(done));
}

void Ledger::DeleteDocument(std::string name, std::optional<std::int64_t> revision,
                            std::string actor, Done done) {
  Post(ca::DeleteDocument(std::move(name), revision, std::move(actor)), std::move(done));
}

void Ledger::Prune(Pruning pruning, std::string actor, Done done) {
  Post(ca::Prune(std::move(pruning), std::move(actor)), std::move(done));
}

void Ledger::Note(AuditEntry entry, Done done) {
  Post(ca::Note(std::move(entry)), std::move(done));
}

absl::Status Ledger::Read(std::function<void(const Reader&)> read) { return Push(std::move(read)); }

absl::StatusOr<Committed> Ledger::Await(const std::function<void(Done)>& start) {
  auto promise = std::make_shared<std::promise<absl::StatusOr<Committed>>>();
  start([promise](absl::StatusOr<Committed> result) { promise->set_value(std::move(result)); });
  return promise->get_future().get();
}

void Ledger::Post(MakeChange make, Done done) {
  const absl::Status pushed =
      Push(Operation{.make = std::move(make), .done = done, .deadline = After(options_.patience)});
  if (!pushed.ok()) done(pushed);
}

absl::Status Ledger::Push(Item item) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return absl::UnavailableError("the ledger is closing");
    if (queue_.size() >= options_.queue) {
      return absl::ResourceExhaustedError(
          absl::StrCat(queue_.size(), " changes wait for the authority's store already"));
    }
    queue_.push_back(std::move(item));
  }
  posted_.notify_one();
  return absl::OkStatus();
}

void Ledger::Work() {
  Committer committer(*store_, options_.now, stopping_);
  const Reader reader(*store_);
  for (;;) {
    std::deque<Item> items;
    {
      std::unique_lock lock(mutex_);
      posted_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
      if (queue_.empty()) return;
      items.swap(queue_);
    }
    std::vector<Operation> operations;
    for (Item& item : items) {
      if (auto* operation = std::get_if<Operation>(&item)) {
        operations.push_back(std::move(*operation));
        continue;
      }
      committer.Run(std::exchange(operations, {}));
      std::get<ReadCall>(item)(reader);
    }
    committer.Run(std::move(operations));
  }
}

}  // namespace tombolo::ca
