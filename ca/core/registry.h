// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "base/time.h"
#include "core/crl_shelf.h"
#include "core/issuer_keys.h"
#include "core/key_store.h"
#include "core/registrations.h"
#include "core/server_identity.h"
#include "core/signers.h"
#include "core/stored_state.h"
#include "core/view.h"
#include "ledger/changes.h"
#include "ledger/ledger.h"
#include "store/store.h"

namespace tombolo::ca {

// Keeps the newest View: reads the store again when anybody has changed documents or revocations,
// the directory files when they are others, asks clusters for their keys, and renews the server's
// certificate and the revocation lists in time. What cannot be read keeps the old View: it goes on
// being published, and a ledger that knows more issues nothing by it.
//
// A thread of its own does all of it. view() and Problems() may be called by any thread. Destroying
// it ends the thread, after a call of the store or a key that is under way.
class Registry {
 public:
  struct Options {
    std::string trust_domain;
    KeyStore keys;
    std::vector<std::string> hosts{};        // more names of the server
    std::vector<std::string> directories{};  // files
    std::chrono::seconds server_ttl = std::chrono::hours(24);
    std::chrono::seconds crl_ttl = std::chrono::hours(24);
    Duration interval = std::chrono::milliseconds(250);  // of asking the store for changes
    Duration tick = std::chrono::seconds(1);             // of everything else
    IssuerKeys::Options issuers{};
    std::function<WallTime()> now = std::chrono::system_clock::now;
  };
  // Called on the registry's thread, first from Start(); must not block.
  using Listener = std::function<void(const ViewPtr&)>;

  // FailedPrecondition when the store is of another trust domain; else what the store says.
  // `ledger` outlives it.
  static absl::StatusOr<std::unique_ptr<Registry>> Start(std::shared_ptr<Store> store,
                                                         Ledger& ledger, Options options,
                                                         Listener listener);
  ~Registry();

  ViewPtr view() const;

  // What is not as it should be now, one text each; and those of it for which others should be
  // asked instead.
  std::vector<std::string> Problems() const;
  std::vector<std::string> NotReady() const;

  // The keys of the clusters that say themselves which they are.
  IssuerKeys& issuers() const { return *issuers_; }

 private:
  Registry(std::shared_ptr<Store> store, Ledger& ledger, Options options, Listener listener);
  absl::Status Load(WallTime now);
  void Publish(WallTime now);
  std::shared_ptr<View> NewView(WallTime now);
  void AddCrls(View& view, WallTime now);
  void Work();
  void Round(bool changed);
  void SetProblems();
  absl::Status Record(const Certificate& certificate);

  const std::shared_ptr<Store> store_;
  Ledger& ledger_;
  const Options options_;
  const Listener listener_;

  // Of the thread; of Start() before.
  StoredStateReader reader_;
  std::optional<StoredState> state_;
  Signers signers_;
  CrlShelf crls_;
  ServerIdentity identity_;
  DirectoryFiles directories_;
  const std::unique_ptr<IssuerKeys> issuers_;  // any thread
  absl::Status loaded_;                        // what the last reading of the store came to
  std::vector<std::string> build_;             // what was wrong when the View was made

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  // All guarded by mutex_.
  ViewPtr view_;
  std::vector<std::string> problems_;
  absl::Status store_status_;   // as Changes sees it
  absl::Status loaded_status_;  // a copy of loaded_
  bool changed_ = false;
  bool stopping_ = false;

  std::unique_ptr<Changes> changes_;
  std::thread thread_;  // last: it uses the others
};

}  // namespace tombolo::ca
