// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

// The document "trust": which roots and authorities the trust domain has. Every step of an operator
// replaces it as a whole.
namespace tombolo::ca {

inline constexpr char kTrustDocument[] = "trust";
inline constexpr std::size_t kMaxAuthorities = 4096;  // what a trust bundle takes

// In the order in which a root goes through them. There is always exactly one active root, and at
// most one other.
enum class RootState {
  kPrepared,  // in the bundle, and signs nothing
  kActive,    // the authorities below it sign
  kOld,       // in the bundle for what was signed below it
  kTainted,   // the same, and agents renew away from it
};
absl::string_view Name(RootState state);

// Where a key is: see key_store.h. Empty: elsewhere, such as a company's own root's.
using KeyReference = std::string;

struct TrustRoot {
  std::string id;  // of its key: SHA-256 of the SubjectPublicKeyInfo, in hex
  RootState state = RootState::kActive;
  KeyReference key;
  std::string certificate;  // PEM
  friend bool operator==(const TrustRoot&, const TrustRoot&) = default;
};

// An intermediate. At most one of each cluster below each root.
struct TrustAuthority {
  std::string id;       // of its key
  std::string cluster;  // whom it signs for; "": the authority's own server
  std::string root;     // the id of the root above it
  KeyReference key;
  std::string chain;  // PEM: its certificate, then those between it and the root
  friend bool operator==(const TrustAuthority&, const TrustAuthority&) = default;
};

// A plain value.
struct TrustState {
  std::string trust_domain;
  std::vector<TrustRoot> roots;
  std::vector<TrustAuthority> authorities;
  std::map<std::string, std::string> federated;  // trust domain -> its trust bundle

  const TrustRoot& active() const;  // of a state that has been checked
  const TrustRoot* other() const;   // the root that is not active; may be null
  const TrustRoot* FindRoot(absl::string_view id) const;  // null when there is none
  const TrustAuthority* FindAuthority(absl::string_view cluster, absl::string_view root) const;
  // The authority that signs for `cluster` now; null when there is none.
  const TrustAuthority* SignerFor(absl::string_view cluster) const;

  friend bool operator==(const TrustState&, const TrustState&) = default;
};

// What the certificates say of `id`. InvalidArgument when there is anything wrong with them.
absl::StatusOr<std::string> KeyIdOf(const std::string& certificate, const std::string& name);

// InvalidArgument says what does not fit together.
absl::Status Check(const TrustState& state);

// As JSON. InvalidArgument for what Check() refuses; DataLoss for what was not written by this.
absl::StatusOr<std::string> Encode(const TrustState& state);
absl::StatusOr<TrustState> DecodeTrustState(absl::string_view text);

}  // namespace tombolo::ca
