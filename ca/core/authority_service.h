// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include <boost/asio/thread_pool.hpp>

#include "absl/status/statusor.h"
#include "base/spiffe_id.h"
#include "base/time.h"
#include "core/grant.h"
#include "core/issuance.h"
#include "core/refusals.h"
#include "core/registry.h"
#include "ledger/ledger.h"
#include "store/store.h"
#include "tls/csr.h"

namespace tombolo::ca {

// Who asks for a certificate, and what he shows.
struct CertificateRequest {
  std::string csr;  // DER
  bool renew = false;
  std::optional<Peer> peer;
  std::string token;    // empty: none
  std::string address;  // of the peer, for the records
};

struct Enrolled {
  std::string certificates;  // PEM: the leaf, then what is between it and a root
  SpiffeId id;
  WallTime not_after;
};

// Issues certificates: who may have what, signed, recorded, and only then given. Any thread may
// call. Threads of its own do what blocks or computes.
class AuthorityService {
 public:
  struct Options {
    std::chrono::seconds ttl = std::chrono::hours(1);
    unsigned threads = 2;
    std::size_t queue = 1024;                      // requests that may wait or be under way
    Duration patience = std::chrono::seconds(10);  // how long one may wait for a thread
    std::function<WallTime()> now = std::chrono::system_clock::now;
  };
  struct Counters {
    std::atomic<std::uint64_t> issued = 0, malformed = 0, unauthenticated = 0, denied = 0, busy = 0,
                               unavailable = 0, refusals_not_recorded = 0;
  };
  using Done = std::function<void(absl::StatusOr<Enrolled>)>;

  // Borrows `registry` and `ledger`.
  AuthorityService(std::shared_ptr<Store> store, Ledger& ledger, const Registry& registry,
                   Options options);
  // Waits until everything that was asked has been answered: a few seconds at most.
  ~AuthorityService();

  // Calls `done` once, on any thread, perhaps within the call; it must not block.
  //   InvalidArgument: the request itself.      Unauthenticated, PermissionDenied: see Decide().
  //   ResourceExhausted: too many wait.         Unavailable: nothing was issued; try again. So also
  //   for a peer that was judged by another trust than that of now.
  void Enrol(CertificateRequest request, Done done);

  const Counters& counters() const { return counters_; }

 private:
  // A request that is under way.
  struct Job {
    CertificateRequest request;
    Done done;
    MonotonicTime deadline;
    std::string subject;  // what it asks for, as far as is known
  };
  struct Signed {
    Issuance issuance;
    Grant grant;
    Basis basis;
  };

  void Work(const std::shared_ptr<Job>& job);
  absl::StatusOr<Signed> Sign(Job& job);
  absl::StatusOr<Credential> FindCredential(const CertificateRequest& request) const;
  void DoubtKeys(const CertificateRequest& request, const absl::Status& why) const;
  void Commit(const std::shared_ptr<Job>& job, Signed made);
  void Finish(const std::shared_ptr<Job>& job, absl::StatusOr<Enrolled> result);
  void CountRefusal(const Job& job, const absl::Status& status);

  const std::shared_ptr<Store> store_;
  Ledger& ledger_;
  const Registry& registry_;
  const Options options_;
  Counters counters_;
  RefusalBudget refusals_;
  std::mutex mutex_;
  std::condition_variable idle_;
  std::size_t jobs_ = 0;           // guarded by mutex_; a note of a refusal counts, too
  boost::asio::thread_pool pool_;  // last: it uses the others
};

}  // namespace tombolo::ca
