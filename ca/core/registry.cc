// SPDX-License-Identifier: Apache-2.0
#include "core/registry.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "core/publication.h"
#include "ledger/reader.h"

namespace tombolo::ca {
namespace {

// Opening a key may mean to ask hardware that is away.
constexpr Duration kTryKeysAgain = std::chrono::seconds(30);

}  // namespace

absl::StatusOr<std::unique_ptr<Registry>> Registry::Start(std::shared_ptr<Store> store,
                                                          Ledger& ledger, Options options,
                                                          Listener listener) {
  auto registry = std::unique_ptr<Registry>(
      new Registry(std::move(store), ledger, std::move(options), std::move(listener)));
  const WallTime now = registry->options_.now();
  RETURN_IF_ERROR(registry->Load(now));
  registry->directories_.Look();
  registry->Publish(now);
  if (registry->view() == nullptr) {
    return absl::FailedPreconditionError(registry->Problems().front());
  }
  // Afterwards: the thread does what Start() has done.
  Registry* self = registry.get();
  registry->thread_ = std::thread([self] { self->Work(); });
  registry->changes_ =
      std::make_unique<Changes>(self->store_, Changes::Options{.interval = self->options_.interval},
                                [self](const absl::StatusOr<Changes::Change>& change) {
                                  const std::lock_guard lock(self->mutex_);
                                  self->store_status_ = change.status();
                                  self->changed_ = true;
                                  self->wake_.notify_one();
                                });
  return registry;
}

Registry::Registry(std::shared_ptr<Store> store, Ledger& ledger, Options options, Listener listener)
    : store_(std::move(store)),
      ledger_(ledger),
      options_(std::move(options)),
      listener_(std::move(listener)),
      signers_(options_.keys),
      crls_(options_.crl_ttl),
      identity_(options_.hosts, options_.server_ttl,
                [this](const Certificate& certificate) { return Record(certificate); }),
      directories_(options_.directories, options_.trust_domain),
      issuers_(std::make_unique<IssuerKeys>(options_.issuers)) {}

Registry::~Registry() {
  changes_.reset();
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

ViewPtr Registry::view() const {
  const std::lock_guard lock(mutex_);
  return view_;
}

std::vector<std::string> Registry::Problems() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> problems = problems_;
  if (!store_status_.ok()) problems.emplace_back(store_status_.message());
  return problems;
}

std::vector<std::string> Registry::NotReady() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> reasons;
  for (const absl::Status& status : {store_status_, loaded_status_}) {
    if (!status.ok()) reasons.emplace_back(status.message());
  }
  if (view_ == nullptr || view_->server == nullptr) {
    reasons.emplace_back("this server has no certificate");
  }
  return reasons;
}

absl::Status Registry::Record(const Certificate& certificate) {
  return Ledger::Await([&](Ledger::Done done) {
           ledger_.Issue(certificate, std::nullopt, "authority", std::move(done));
         })
      .status();
}

absl::Status Registry::Load(WallTime now) {
  ASSIGN_OR_RETURN(StoredState state, reader_.Read(Reader(*store_), now));
  if (state.trust.trust_domain != options_.trust_domain) {
    return absl::FailedPreconditionError(absl::StrCat("the store is of trust domain '",
                                                      state.trust.trust_domain, "', not of '",
                                                      options_.trust_domain, "'"));
  }
  state_ = std::move(state);
  issuers_->Follow(state_->clusters);
  return absl::OkStatus();
}

void Registry::AddCrls(View& view, WallTime now) {
  for (const TrustAuthority& authority : state_->trust.authorities) {
    const IssuerPtr issuer = signers_.Find(authority.id);
    if (issuer == nullptr) continue;
    absl::StatusOr<std::string> list =
        crls_.Get(*issuer, authority.id, state_->revoked.ListOf(authority.id), now);
    if (list.ok()) {
      view.crls.emplace(authority.id, *std::move(list));
    } else {
      build_.push_back(absl::StrCat("revocation list: ", list.status().message()));
    }
  }
  crls_.Sweep();
}

// Null when the state cannot be published at all.
std::shared_ptr<View> Registry::NewView(WallTime now) {
  auto view = std::make_shared<View>();
  view->state = *state_;
  issuers_->Apply(view->state.clusters);
  view->registrations = directories_.registrations();
  view->sequence = state_->sequence();
  absl::StatusOr<Publication> published =
      ca::Publish(state_->trust, state_->revoked.set, view->sequence);
  if (!published.ok()) {
    build_.push_back(absl::StrCat("trust bundle: ", published.status().message()));
    return nullptr;
  }
  view->bundle = std::move(published->document);
  view->roots = std::move(published->roots);
  for (const TrustAuthority& authority : state_->trust.authorities) {
    const IssuerPtr issuer = signers_.Find(authority.id);
    if (issuer != nullptr && authority.root == state_->trust.active().id) {
      view->signers.emplace(authority.cluster, issuer);
    }
  }
  AddCrls(*view, now);
  return view;
}

void Registry::Publish(WallTime now) {
  build_.clear();
  signers_.Update(state_->trust);
  for (const std::string& error : signers_.Errors()) build_.push_back(error);
  std::shared_ptr<View> view = NewView(now);
  if (view != nullptr) {
    const auto signer = view->signers.find("");
    const absl::Status own =
        identity_.Update(signer == view->signers.end() ? nullptr : signer->second, now);
    if (!own.ok()) build_.push_back(absl::StrCat("own certificate: ", own.message()));
    absl::StatusOr<ServerCredentials> server = identity_.Credentials(view->bundle, now);
    if (server.ok()) {
      view->server = *std::move(server);
    } else if (own.ok()) {
      build_.push_back(absl::StrCat("own certificate: ", server.status().message()));
    }
    const std::lock_guard lock(mutex_);
    view_ = view;
  }
  SetProblems();
  if (view != nullptr && listener_) listener_(view);
}

// Logs what is new among them.
void Registry::SetProblems() {
  std::vector<std::string> problems = build_;
  for (std::string& error : directories_.Errors()) problems.push_back(std::move(error));
  for (std::string& error : issuers_->Errors()) problems.push_back(std::move(error));
  if (!loaded_.ok()) problems.emplace_back(loaded_.message());
  const std::lock_guard lock(mutex_);
  for (const std::string& problem : problems) {
    if (std::find(problems_.begin(), problems_.end(), problem) == problems_.end()) {
      log::Error("the authority goes on with what it had", {{"reason", problem}});
    }
  }
  problems_ = std::move(problems);
  loaded_status_ = loaded_;
}

// `changed`: the store is to be read.
void Registry::Round(bool changed) {
  const WallTime now = options_.now();
  bool publish = directories_.Look();
  publish = issuers_->TakeChanged() || publish;
  if (changed) {
    loaded_ = Load(now);
    publish = publish || loaded_.ok();
  }
  if (publish || now >= identity_.next() || now >= crls_.next()) return Publish(now);
  SetProblems();
}

void Registry::Work() {
  MonotonicTime keys_again = After(kTryKeysAgain);
  for (;;) {
    bool changed = false;
    {
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, options_.tick, [this] { return stopping_ || changed_; });
      if (stopping_) return;
      changed = std::exchange(changed_, false);
    }
    const bool again = !build_.empty() && std::chrono::steady_clock::now() >= keys_again;
    if (again) keys_again = After(kTryKeysAgain);
    Round(changed || !loaded_.ok() || again);
  }
}

}  // namespace tombolo::ca
