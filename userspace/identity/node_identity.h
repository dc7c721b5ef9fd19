// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "base/asio.h"
#include "base/spiffe_id.h"
#include "base/time.h"
#include "identity/est_client.h"
#include "identity/held_trust.h"
#include "identity/options.h"
#include "identity/record.h"

namespace tombolo::identity {

// The identity of the node itself: how it is had from a token, renewed by itself, and kept on disk.
// With it everything else is asked for. Used on the client's thread.
//
// A token may be good for one certificate, and the answer with that may get lost. So all requests
// with a token have the same key until a certificate has come, also after a crash: the authority
// answers the same token and key again. Without a state directory a crash loses the key, and with
// it a join token that was under way.
class NodeIdentity {
 public:
  // All but the IDs must outlive this.
  NodeIdentity(const Options& options, SpiffeId id, SpiffeId authority, EstClient& client,
               const HeldTrust& trust);

  // Takes what an earlier process has kept, by the bundle that is held, or by the configured one.
  // What is of no use is left alone and said.
  absl::Status Restore(WallTime now);

  // One attempt: with the SVID while that is valid, otherwise, or when that is refused, with the
  // token. The outcome is in record(), too.
  Awaitable<absl::Status> Renew();

  // Judges the SVID by another bundle, which is held by now.
  void Judge(WallTime now);
  // On disk, if it is not there yet.
  void Keep();

  // Whether what the configuration names is another than at the last attempt: its roots, its token.
  bool FilesHaveChanged() const { return files_ != FilesNow(); }

  // For requests in the node's name; null while it has no valid SVID.
  HttpsContextPtr ContextAt(WallTime now) const;
  // For requests in nobody's name to an authority that `trust` vouches for.
  absl::StatusOr<HttpsContextPtr> Anonymous(const Trust& trust) const;
  const SpiffeId& id() const { return id_; }
  const Record& record() const { return record_; }
  Record& record() { return record_; }
  // Why the disk does not have what is in memory.
  const absl::Status& state_status() const { return state_status_; }

 private:
  using Digest = std::array<std::uint8_t, 32>;
  // Of those files, or of why they cannot be read.
  Digest FilesNow() const;
  const std::string& TokenFile() const;
  Awaitable<absl::StatusOr<Certified>> Attempt();
  Awaitable<absl::StatusOr<Certified>> EnrollByToken();
  Awaitable<absl::StatusOr<Certified>> Reenroll();
  absl::StatusOr<std::string> EnrolmentKey();
  absl::Status Take(Certified issued);
  absl::Status MakeContext();

  const Options& options_;
  const SpiffeId id_, authority_;
  EstClient& client_;
  const HeldTrust& trust_;
  Record record_;
  HttpsContextPtr context_;
  Digest files_{};             // at the last attempt
  std::string enrolment_key_;  // PEM; empty: none, or it was not read yet
  bool kept_ = true;           // the SVID is on disk, or there is none
  absl::Status state_status_;
};

}  // namespace tombolo::identity
