// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/time.h"
#include "etcd/messages.h"
#include "net/http_lines.h"

namespace tombolo::etcd {

inline constexpr char kWatchPath[] = "/v3/watch";

struct WatchRequest {
  std::string key, end{};           // as in a RangeRequest
  std::int64_t start_revision = 0;  // the first one that is told; 0: what happens from now on
  bool previous = false;            // tell what was there before each change, too
};
std::string Encode(const WatchRequest& request);

struct Event {
  bool deleted = false;
  KeyValue entry{};                    // of what was deleted: the key and the revision only
  std::optional<KeyValue> previous{};  // if that was asked for, and was there
};

// One message of a watch.
struct WatchMessage {
  std::uint64_t cluster = 0, term = 0;
  std::int64_t revision = 0;  // of the store when it was sent
  bool created = false;       // the first message
  bool fragment = false;      // the next message goes on with the same revision
  bool canceled = false;
  std::int64_t compacted = 0;  // the watch began before this revision, which is etcd's first
  std::string reason{};        // why it was canceled
  std::vector<Event> events{};
};

// Of one line. InvalidArgument: not etcd's; or the error that etcd tells in it, as by ErrorOf().
absl::StatusOr<WatchMessage> DecodeWatch(absl::string_view line);

// A watch that one member serves. One thread reads; any may abort.
class Watch {
 public:
  static constexpr std::size_t kMaxBatch = 64 << 20;  // bytes of keys and values

  // `endpoint` is its number among the client's.
  Watch(std::unique_ptr<net::HttpLines> lines, std::size_t endpoint)
      : lines_(std::move(lines)), endpoint_(endpoint) {}

  // Changes in their order, whole transactions of them; none: a sign of life.
  struct Batch {
    std::uint64_t cluster = 0, term = 0;
    // With events, of the last one. Without, and unless `created`: there are no others up to it.
    std::int64_t revision = 0;
    bool created = false;  // the first batch: `revision` is the store's, events up to it may follow
    std::vector<Event> events{};
  };

  // Blocks until there is one. The first one tells that the watch stands.
  //   DeadlineExceeded: nothing came until then. May be called again; no other error may.
  //   OutOfRange: what is to be watched has been compacted away; list again.
  //   ResourceExhausted: more than the bounds of HttpLines, or kMaxBatch.
  //   Unauthenticated, PermissionDenied: not as this user, or no more.
  //   others: another member, or the same one later, may do it.
  absl::StatusOr<Batch> Next(MonotonicTime deadline);

  void Abort() { lines_->Abort(); }
  std::size_t endpoint() const { return endpoint_; }

 private:
  const std::unique_ptr<net::HttpLines> lines_;
  const std::size_t endpoint_;
  std::vector<Event> fragments_;  // of a batch that is not yet whole
  std::size_t fragment_bytes_ = 0;
};

}  // namespace tombolo::etcd
