// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>

#include "absl/status/statusor.h"
#include "base/asio.h"
#include "base/spiffe_id.h"
#include "base/task_group.h"
#include "base/time.h"
#include "identity/est_client.h"
#include "identity/held_trust.h"
#include "identity/kept_svids.h"
#include "identity/node_identity.h"
#include "identity/options.h"
#include "identity/roster.h"
#include "identity/store.h"

namespace tombolo::identity {

// What is known of one identity's renewals.
struct RenewalView {
  SpiffeId id;
  std::string serial{};  // hex; empty: no SVID
  WallTime not_before{}, not_after{};
  WallTime next{};                 // attempt
  unsigned failures = 0;           // in a row
  std::uint64_t all_failures = 0;  // of this process
  absl::Status error{};
  bool expires_soon = false;
  bool useless = false;  // the last attempt brought an SVID that does not hold here
};

struct IssuanceView {
  std::vector<std::string> urls;
  bool reachable = false;
  WallTime since;                         // it is that
  std::optional<std::uint64_t> sequence;  // of the trust bundle; none was had yet
  absl::Status trust_error;               // why the bundle cannot be followed
  absl::Status state_error;               // why the disk does not have what is in memory
  RenewalView node;
  std::map<SpiffeId, RenewalView> workloads;
};

// Keeps the identities of one node alive: enrols the node, follows the trust bundle, has an SVID
// issued for every workload of the node and renews them all. Everything is in memory, and with
// Options::state the node's own identity and the last bundle are on disk, the workloads' keys only
// by Options::keep_workloads. Used on the one thread of `executor`; never blocks but for small
// files. Stop() before destroying.
class Issuance {
 public:
  // InvalidArgument when the names cannot be a SPIFFE ID. An authority that does not answer is no
  // error, and neither is a file that is missing: it is read again.
  static absl::StatusOr<std::unique_ptr<Issuance>> Create(asio::any_io_executor executor,
                                                          Options options);
  ~Issuance();

  // Begins. `changed` is called whenever store() has, from a task, never from within a call; many
  // changes at once are one.
  void Run(std::function<void()> changed);
  Awaitable<void> Stop();

  // The workloads whose SVIDs are wanted. Not of a gateway.
  void SetWorkloads(const std::set<SpiffeId>& ids);
  // A file may have changed. A node that has no SVID tries again at once if one of its own has
  // (token, trust) since its last attempt; nobody else's file makes it impatient.
  void TryNode();

  // The workloads', or a gateway's own. Null never; without credentials for what was not issued.
  const StorePtr& store() const { return store_; }
  IssuanceView View() const;
  // Why a new workload would have to wait for its identity; empty: it would not.
  std::vector<std::string> NotReady() const;

 private:
  Issuance(asio::any_io_executor executor, Options options, SpiffeId node, SpiffeId authority);

  Awaitable<void> KeepNode();
  Awaitable<void> KeepWorkloads();
  Awaitable<void> FollowTrust();
  Awaitable<void> Announce();

  std::size_t FreeSlots() const;
  void StartDue();
  Awaitable<void> RenewWorkload(SpiffeId id, HttpsContextPtr context);
  Awaitable<absl::StatusOr<Certified>> IssueWorkload(SpiffeId id, HttpsContextPtr context);
  void Finish(const SpiffeId& id, absl::StatusOr<Certified> issued);

  // issuance_trust.cc
  Awaitable<absl::Status> PollTrust();
  Awaitable<absl::Status> PollByItself(HttpsContextPtr context);
  Awaitable<absl::Status> PollPublic(TrustPtr trust, bool corrected);
  Awaitable<absl::Status> TakeNews(std::optional<std::string> text, bool corrected);
  Awaitable<void> TakeTrust(TrustPtr trust);
  Duration NextLook(bool news) const;

  static Awaitable<void> SleepUntil(asio::steady_timer& timer, MonotonicTime when);
  void Changed();
  void RebuildStore();
  void AnnounceNow();
  void NoteReach();
  void TryUnanswered();
  void RestoreWorkloads();
  absl::Status RestoreWorkload(const SpiffeId& id, Record& record);
  void LookForAlarms();

  const Options options_;
  EstClient client_;
  HeldTrust trust_;
  NodeIdentity node_;
  Roster roster_;
  KeptSvids kept_;
  StorePtr store_;
  std::function<void()> changed_;
  bool dirty_ = false;  // store_ is older than the roster
  std::size_t asking_ = 0;
  bool reachable_ = false;  // as logged
  WallTime reach_since_ = std::chrono::system_clock::now();
  absl::Status trust_status_;
  unsigned trust_failures_ = 0;  // polls in a row
  bool announced_ = false;       // the last poll was one that the authority holds
  bool stopping_ = false;
  // Each wakes one of the loops above.
  asio::steady_timer node_wake_, workloads_wake_, trust_wake_, announce_wake_;
  TaskGroup tasks_;
};

}  // namespace tombolo::identity
