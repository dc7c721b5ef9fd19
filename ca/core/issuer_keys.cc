// SPDX-License-Identifier: Apache-2.0
#include "core/issuer_keys.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace tombolo::ca {
namespace {

MonotonicTime Now() { return std::chrono::steady_clock::now(); }

}  // namespace

IssuerKeys::IssuerKeys(Options options) : options_(std::move(options)) {
  for (unsigned i = 0; i < options_.threads; ++i) threads_.emplace_back([this] { Work(); });
}

IssuerKeys::~IssuerKeys() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void IssuerKeys::Follow(const RegisteredClusters& clusters) {
  const std::lock_guard lock(mutex_);
  Issuers next;
  for (const auto& [name, cluster] : clusters) {
    if (!cluster.registration.discovery) continue;
    const auto known = issuers_.find(name);
    if (known != issuers_.end() && known->second.registration == cluster.registration) {
      next.insert(issuers_.extract(known));
    } else {
      next[name].registration = cluster.registration;
    }
  }
  issuers_ = std::move(next);
  wake_.notify_all();
}

void IssuerKeys::Doubt(const std::string& issuer) {
  const std::lock_guard lock(mutex_);
  for (auto& [name, one] : issuers_) {
    if (one.registration.issuer != issuer) continue;
    one.due = std::min(one.due, one.asked + options_.doubted);
  }
  wake_.notify_all();
}

void IssuerKeys::Apply(RegisteredClusters& clusters) const {
  const std::lock_guard lock(mutex_);
  for (auto& [name, cluster] : clusters) {
    if (!cluster.registration.discovery) continue;
    const auto issuer = issuers_.find(name);
    cluster.known = issuer != issuers_.end() && issuer->second.found.has_value();
    if (cluster.known) cluster.keys = issuer->second.found->keys;
  }
}

bool IssuerKeys::TakeChanged() {
  const std::lock_guard lock(mutex_);
  for (auto& [name, issuer] : issuers_) {
    if (!issuer.found || Now() - issuer.read <= options_.max_age) continue;
    issuer.found.reset();
    changed_ = true;
  }
  return std::exchange(changed_, false);
}

std::vector<std::string> IssuerKeys::Errors() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> errors;
  for (const auto& [name, issuer] : issuers_) {
    if (issuer.status.ok()) continue;
    errors.push_back(absl::StrCat("keys of cluster '", name, "': ", issuer.status.message()));
  }
  return errors;
}

std::vector<std::pair<std::string, Duration>> IssuerKeys::Ages() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::pair<std::string, Duration>> ages;
  for (const auto& [name, issuer] : issuers_) {
    if (issuer.found) ages.emplace_back(name, Now() - issuer.read);
  }
  return ages;
}

// Whoever is to be asked first. The end: nobody.
IssuerKeys::Issuers::iterator IssuerKeys::Next() {
  auto next = issuers_.end();
  for (auto one = issuers_.begin(); one != issuers_.end(); ++one) {
    if (one->second.asking) continue;
    if (next == issuers_.end() || one->second.due < next->second.due) next = one;
  }
  return next;
}

void IssuerKeys::Work() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    const auto next = Next();
    if (next == issuers_.end()) {
      wake_.wait(lock);
      continue;
    }
    // A copy: Follow() may remove the issuer meanwhile.
    const MonotonicTime due = next->second.due;
    if (due > Now()) {
      wake_.wait_until(lock, due);
      continue;
    }
    next->second.asking = true;
    const std::string name = next->first;
    const ClusterRegistration registration = next->second.registration;
    lock.unlock();
    absl::StatusOr<FoundKeys> found = options_.ask(registration, After(options_.patience));
    lock.lock();
    const auto asked = issuers_.find(name);
    // It may have gone meanwhile, or become another one.
    if (asked == issuers_.end() || asked->second.registration != registration) continue;
    Settle(asked->second, std::move(found));
  }
}

void IssuerKeys::Settle(Issuer& issuer, absl::StatusOr<FoundKeys> found) {
  issuer.asking = false;
  issuer.asked = Now();
  issuer.due = issuer.asked + (found.ok() ? options_.refresh : options_.retry);
  issuer.status = found.status();
  if (!found.ok()) return;
  issuer.read = issuer.asked;
  if (issuer.found && issuer.found->jwks == found->jwks) return;
  issuer.found = *std::move(found);
  changed_ = true;
}

}  // namespace tombolo::ca
