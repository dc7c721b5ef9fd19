// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "command/context.h"

namespace tombolo::ca {

// The key files that a command has made for a trust document. Removes them when nothing has come of
// it. Borrows `keys`.
class NewKeys {
 public:
  explicit NewKeys(const KeyStore& keys) : keys_(keys) {}
  ~NewKeys();
  NewKeys(const NewKeys&) = delete;
  NewKeys& operator=(const NewKeys&) = delete;

  void Add(KeyReference key) { made_.push_back(std::move(key)); }

  // `put` is what became of writing the document, and is returned. They stay when that was done,
  // and also when nobody knows (Unknown): the document may need them.
  absl::Status Settle(absl::Status put);

 private:
  const KeyStore& keys_;
  std::vector<KeyReference> made_;
};

// The root that a command is told to use: a certificate in a file, whose key is elsewhere; else a
// new one by the key that `reference` finds, or by a new key, which goes into `made`.
absl::StatusOr<TrustRoot> ChooseRoot(const Context& context, const KeyReference& reference,
                                     const std::string& certificate_file, NewKeys& made);

// New authorities below `root`, whose key is here, one for each of `clusters`; their certificates
// are recorded. Their keys go into `made`.
absl::StatusOr<std::vector<TrustAuthority>> MakeAuthorities(
    Context& context, const TrustRoot& root, const std::vector<std::string>& clusters,
    NewKeys& made);

}  // namespace tombolo::ca
