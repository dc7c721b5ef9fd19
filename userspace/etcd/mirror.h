// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "etcd/bounds.h"
#include "etcd/messages.h"
#include "etcd/store.h"
#include "etcd/watch.h"

namespace tombolo::etcd {

// Keys without their prefix; no value: gone.
using Changes = std::map<std::string, std::optional<std::string>>;

// What is below a prefix, as it was told. Of one thread.
class Mirror {
 public:
  // What a list says, as far as it is kept.
  class Listing {
   public:
    // DataLoss: it has not the prefix. ResourceExhausted: more than is kept of all. OutOfRange, of
    // one writer's: of this and what follows nothing would be kept, so the list is complete().
    absl::Status Add(KeyValue entry);
    bool complete() const { return of_one_ && store_.lacks_some(); }

   private:
    friend class Mirror;
    Listing(std::string prefix, Store store, bool of_one)
        : prefix_(std::move(prefix)), store_(std::move(store)), of_one_(of_one) {}

    std::string prefix_;
    Store store_;
    bool of_one_;
    KeyValue last_{};
  };

  // `max_bytes` of all that is kept within `bounds`.
  Mirror(std::string prefix, std::size_t max_bytes, Bounds bounds = {})
      : prefix_(std::move(prefix)), empty_(max_bytes, std::move(bounds)), store_(empty_) {}

  // To be filled with all that there is.
  Listing Begin() const { return {prefix_, empty_, /*of_one=*/false}; }
  // Returns what is different from before; `header` is the list's.
  Changes Replace(Listing listed, const RangeAnswer& header);

  // Returns what is different from before. What fails changes nothing.
  // OutOfRange: only a list can tell how it goes on.
  absl::StatusOr<Changes> Apply(Watch::Batch batch);

  // Nothing has happened up to this revision.
  void Advance(std::int64_t revision);

  // The beginning of the keys of somebody of whom something was left out, and for which there is
  // room by now.
  std::optional<std::string> NextWithRoom() { return store_.NextWithRoom(); }
  // To be filled with what begins like that, as it is at revision(), in the order of the keys: with
  // all of it, or until it is complete().
  Listing Begin(const std::string& writer) const {
    return {prefix_, store_.For(writer), /*of_one=*/true};
  }
  // Returns all of that writer's, and what else is different from before. What fails changes
  // nothing: ResourceExhausted.
  absl::StatusOr<Changes> ReplaceOf(const std::string& writer, Listing listed);
  // All that begins like that.
  Changes Below(const std::string& beginning) const;

  std::int64_t revision() const { return revision_; }
  std::uint64_t term() const { return term_; }
  std::size_t size() const { return store_.values().size(); }
  // The key that was changed last and its revision, 0 if it was deleted; no key: nothing
  // is known of any.
  const KeyValue& last() const { return last_; }

 private:
  Changes Since(const Store::Before& before) const;

  const std::string prefix_;
  const Store empty_;
  Store store_;
  std::int64_t revision_ = 0;
  std::uint64_t term_ = 0;
  KeyValue last_{};
};

}  // namespace tombolo::etcd
