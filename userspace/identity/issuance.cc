// SPDX-License-Identifier: Apache-2.0
#include "identity/issuance.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "tls/certificate_builder.h"
#include "tls/csr.h"

namespace tombolo::identity {
namespace {

constexpr std::size_t kParallel = 8;  // requests for workloads at a time, each on a connection
// However far away the next event is: the wall clock may have been set.
constexpr Duration kLookAgain = std::chrono::seconds(10);
// What changes within this time is one change.
constexpr Duration kGather = std::chrono::milliseconds(20);

WallTime Now() { return std::chrono::system_clock::now(); }

MonotonicTime WakeAt(WallTime due) {
  const WallTime now = Now();
  if (due <= now) return std::chrono::steady_clock::now();
  return due - now < kLookAgain ? After(due - now) : After(kLookAgain);
}

// Says once what is the same each time. While the authority is away, what still holds is no news.
void LogFailure(const SpiffeId& id, const Record& record, const absl::Status& before) {
  if (record.error.ok() || record.error == before) return;
  const bool valid = record.svid.ValidAt(Now());
  if (record.useless) {
    return log::Error("the SVID that was issued is of no use here",
                      {{"id", id.text()}, {"reason", record.error}, {"kept_previous", valid}});
  }
  if (valid && record.Unanswered()) return;
  log::Warning("SVID not issued",
               {{"id", id.text()}, {"reason", record.error}, {"kept_previous", valid}});
}

}  // namespace

absl::StatusOr<std::unique_ptr<Issuance>> Issuance::Create(asio::any_io_executor executor,
                                                           Options options) {
  const auto name = options.gateway ? SpiffeId::ForGateway : SpiffeId::ForNode;
  ASSIGN_OR_RETURN(SpiffeId node, name(options.trust_domain, options.cluster, options.node));
  ASSIGN_OR_RETURN(SpiffeId authority, SpiffeId::ForAuthority(options.trust_domain));
  if (options.urls.empty()) return absl::InvalidArgumentError("no URL of the authority");
  return std::unique_ptr<Issuance>(
      new Issuance(std::move(executor), std::move(options), std::move(node), std::move(authority)));
}

Issuance::Issuance(asio::any_io_executor executor, Options options, SpiffeId node,
                   SpiffeId authority)
    : options_(std::move(options)),
      client_(executor, options_.urls, options_.deadlines),
      trust_(options_),
      node_(options_, std::move(node), std::move(authority), client_, trust_),
      kept_(options_),
      node_wake_(executor),
      workloads_wake_(executor),
      trust_wake_(executor),
      announce_wake_(executor),
      tasks_(executor) {
  RebuildStore();
}

Issuance::~Issuance() = default;

void Issuance::Run(std::function<void()> changed) {
  changed_ = std::move(changed);
  if (absl::Status restored = trust_.Restore(); !restored.ok()) {
    log::Warning("the trust bundle on disk is of no use", {{"reason", restored}});
  }
  if (absl::Status restored = node_.Restore(Now()); !restored.ok()) {
    log::Warning("the node's identity on disk is of no use", {{"reason", restored}});
  } else if (node_.record().svid.credentials != nullptr) {
    log::Info("the node has its identity from disk", {{"id", node_.id().text()}});
  }
  RestoreWorkloads();
  RebuildStore();
  tasks_.Spawn(KeepNode());
  tasks_.Spawn(KeepWorkloads());
  tasks_.Spawn(FollowTrust());
  tasks_.Spawn(Announce());
}

Awaitable<void> Issuance::Stop() {
  stopping_ = true;
  // A cancellation can be lost between two parts of an operation; a closed socket is not.
  client_.Close();
  co_await tasks_.CancelAndJoin();
}

void Issuance::SetWorkloads(const std::set<SpiffeId>& ids) {
  roster_.Set(ids, Now());
  kept_.Sweep(ids);
  RebuildStore();
  workloads_wake_.cancel();
}

// By the authority's own bundle, as everything that workloads are issued.
void Issuance::RestoreWorkloads() {
  if (trust_.bundle() == nullptr) return;
  for (auto& [id, record] : roster_.records()) {
    const absl::Status restored = RestoreWorkload(id, record);
    if (restored.ok() || absl::IsNotFound(restored)) continue;
    log::Warning("a workload's SVID on disk is of no use",
                 {{"id", id.text()}, {"reason", restored}});
  }
}

absl::Status Issuance::RestoreWorkload(const SpiffeId& id, Record& record) {
  ASSIGN_OR_RETURN(Certified kept, kept_.Read(id));
  ASSIGN_OR_RETURN(Svid svid, MakeSvid(id, std::move(kept), trust_.bundle(), Now()));
  record.Restored(std::move(svid), options_.pace, Now(), RandomJitter(options_));
  return absl::OkStatus();
}

void Issuance::TryNode() {
  if (node_.ContextAt(Now()) != nullptr || !node_.FilesHaveChanged()) return;
  // Somebody has done something about it: not as late as the pace says.
  node_.record().due = Now();
  node_wake_.cancel();
}

void Issuance::TryUnanswered() {
  if (node_.record().Unanswered()) node_.record().TryAgain(options_.pace, Now());
  for (auto& [id, record] : roster_.records()) {
    if (record.Unanswered()) record.TryAgain(options_.pace, Now());
  }
  node_wake_.cancel();
  workloads_wake_.cancel();
}

Awaitable<void> Issuance::KeepNode() {
  while (!stopping_) {
    node_.record().LookAtClock(options_.pace, Now());
    if (node_.record().due > Now()) {
      co_await SleepUntil(node_wake_, WakeAt(node_.record().due));
      continue;
    }
    const absl::Status before = node_.record().error;
    const absl::Status status = co_await node_.Renew();
    if (stopping_) co_return;
    NoteReach();
    if (!status.ok()) {
      LogFailure(node_.id(), node_.record(), before);
      continue;
    }
    log::Info("the node has an SVID",
              {{"id", node_.id().text()}, {"serial", node_.record().svid.credentials->serial()}});
    if (options_.gateway) Changed();
    trust_wake_.cancel();
    workloads_wake_.cancel();
  }
}

Awaitable<void> Issuance::KeepWorkloads() {
  while (!stopping_) {
    LookForAlarms();
    for (auto& [id, record] : roster_.records()) record.LookAtClock(options_.pace, Now());
    client_.Trim();
    StartDue();
    // Whoever ends a request wakes this loop.
    const WallTime next = FreeSlots() > 0 ? roster_.NextDue() : WallTime::max();
    co_await SleepUntil(workloads_wake_, WakeAt(next));
  }
}

std::size_t Issuance::FreeSlots() const {
  // A PEM file of roots, as the first connection may have, binds no authority to its cluster: the
  // authority's own bundle has to be there.
  if (trust_.bundle() == nullptr || node_.ContextAt(Now()) == nullptr) return 0;
  // One is enough to find out when the authority is back.
  const std::size_t parallel = client_.reachable() ? kParallel : 1;
  return parallel - std::min(parallel, asking_);
}

void Issuance::StartDue() {
  // Asked for once: the node's SVID may expire at any moment.
  const HttpsContextPtr context = node_.ContextAt(Now());
  if (context == nullptr) return;
  const WallTime now = Now();
  for (const SpiffeId& id : roster_.Due(now, FreeSlots())) {
    roster_.Find(id)->Begin(now);
    ++asking_;
    tasks_.Spawn(RenewWorkload(id, context));
  }
}

Awaitable<absl::StatusOr<Certified>> Issuance::IssueWorkload(SpiffeId id, HttpsContextPtr context) {
  CO_ASSIGN_OR_RETURN(std::string key, tls::GenerateKey());
  CO_ASSIGN_OR_RETURN(std::string csr, tls::MakeCsr(key, id));
  CO_ASSIGN_OR_RETURN(std::string chain,
                      co_await client_.Enroll(std::move(context), std::move(csr), ""));
  co_return Certified{std::move(chain), std::move(key)};
}

Awaitable<void> Issuance::RenewWorkload(SpiffeId id, HttpsContextPtr context) {
  absl::StatusOr<Certified> issued = co_await IssueWorkload(id, std::move(context));
  --asking_;
  if (stopping_) co_return;
  NoteReach();
  Finish(id, std::move(issued));
  workloads_wake_.cancel();
}

void Issuance::Finish(const SpiffeId& id, absl::StatusOr<Certified> issued) {
  Record* const record = roster_.Find(id);
  if (record == nullptr) return;  // it is gone
  record->asking = false;
  const absl::Status before = record->error;
  const WallTime now = Now();
  const double jitter = RandomJitter(options_);
  if (!issued.ok()) {
    record->Failed(issued.status(), options_.pace, client_.rest(), now, jitter);
  } else if (auto svid = MakeSvid(id, *std::move(issued), trust_.bundle(), now); svid.ok()) {
    record->Issued(*std::move(svid), options_.pace, jitter);
    kept_.Write(id, record->svid);
    log::Debug("SVID issued", {{"id", id.text()}, {"serial", record->svid.credentials->serial()}});
  } else {
    record->Useless(svid.status(), options_.pace, now, jitter);
  }
  LogFailure(id, *record, before);
  Changed();
}

Awaitable<void> Issuance::SleepUntil(asio::steady_timer& timer, MonotonicTime when) {
  timer.expires_at(when);
  (void)co_await timer.async_wait(kUseTuple);
}

void Issuance::Changed() {
  dirty_ = true;
  announce_wake_.cancel();
}

void Issuance::RebuildStore() {
  if (!options_.gateway) {
    store_ = MakeStore(roster_.records(), trust_.bundle());
    return;
  }
  Record own = node_.record();
  // As above: by roots alone, every cluster's authority could vouch for another cluster's gateway.
  if (own.svid.trust != trust_.bundle()) own.svid.credentials = nullptr;
  store_ = MakeStore({{node_.id(), std::move(own)}}, trust_.bundle());
}

Awaitable<void> Issuance::Announce() {
  asio::steady_timer gather(node_wake_.get_executor());
  while (!stopping_) {
    if (!dirty_) {
      co_await SleepUntil(announce_wake_, MonotonicTime::max());
      continue;
    }
    co_await SleepUntil(gather, After(kGather));
    if (dirty_) AnnounceNow();
  }
}

void Issuance::AnnounceNow() {
  dirty_ = false;
  RebuildStore();
  changed_();
}

}  // namespace tombolo::identity
