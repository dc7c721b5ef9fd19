// SPDX-License-Identifier: Apache-2.0
#include "etcd/follower.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/backoff.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
#include "etcd/listing.h"
#include "etcd/mirror.h"

namespace tombolo::etcd {
namespace {

// A watch that has stood for so long is not a part of the last trouble.
constexpr auto kSettled = std::chrono::seconds(10);
// For a member to take a watch.
constexpr auto kCreation = std::chrono::seconds(5);

Client::Options KnowingKey(Client::Options client, const std::string& prefix) {
  client.known_key = prefix;
  return client;
}

// A watch from the same revision would end in the same way. ResourceExhausted: what has happened
// since then is more than Watch::Next() takes.
bool NeedsList(const absl::Status& status) {
  return absl::IsOutOfRange(status) || absl::IsResourceExhausted(status);
}

}  // namespace

class Follower::Impl {
 public:
  Impl(Options options, OnUpdate on_update, OnState on_state)
      : options_(std::move(options)),
        on_update_(std::move(on_update)),
        on_state_(std::move(on_state)),
        client_(KnowingKey(options_.client, options_.prefix)),
        backoff_(options_.first_delay, options_.max_delay),
        mirror_(options_.prefix, options_.max_bytes, options_.bounds) {
    state_.since = std::chrono::system_clock::now();
    thread_ = std::thread([this] { Run(); });
  }

  ~Impl() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
      if (watch_ != nullptr) watch_->Abort();
    }
    client_.Close();
    wake_.notify_all();
    thread_.join();
  }

  State state() const {
    const std::lock_guard lock(mutex_);
    return state_;
  }

 private:
  void Run() {
    bool listed = false;     // and nothing has happened since then that a watch could not tell
    std::size_t failed = 0;  // members in a row, since the last watch that stood
    while (!stopping()) {
      absl::Status status = listed ? absl::OkStatus() : List();
      listed = status.ok();
      stood_ = false;
      if (listed) status = Watch();
      if (stopping()) return;
      failed = stood_ ? 1 : failed + 1;
      const bool outage = failed >= client_.members();
      // What is compacted, or too much to be told as changes, is listed. After an outage of all
      // members the history of before may no longer be etcd's: somebody may have restored a
      // backup meanwhile.
      listed = listed && !NeedsList(status) && !outage;
      if (outage) client_.ForgetCluster();
      if (listed && stood_ && quick_ < client_.members()) continue;  // at once, at another member
      SetState(/*in_sync=*/false, status);
      if (outage || !listed || stood_) Sleep(backoff_.Next());
    }
  }

  absl::Status List() {
    Mirror::Listing listing = mirror_.Begin();
    ASSIGN_OR_RETURN(const RangeAnswer header, ListInto(listing, "", /*revision=*/0));
    Changes changes = mirror_.Replace(std::move(listing), header);
    {
      const std::lock_guard lock(mutex_);
      ++state_.listings;
    }
    resuming_ = false;
    Tell({.revision = mirror_.revision(), .listed = true, .changes = std::move(changes)});
    return absl::OkStatus();
  }

  absl::StatusOr<RangeAnswer> ListInto(Mirror::Listing& listing, const std::string& beginning,
                                       std::int64_t revision) {
    const std::string first = options_.prefix + beginning;
    return ListEach(client_, {.key = first, .end = PrefixEnd(first), .revision = revision},
                    [&](KeyValue entry) { return listing.Add(std::move(entry)); });
  }

  // What was left out comes in when there is room for it. What fails is tried again later: the
  // watch, which is well, knows nothing of it.
  void ReadAgain() {
    if (std::chrono::steady_clock::now() < next_reading_) return;
    const std::optional<std::string> writer = mirror_.NextWithRoom();
    if (!writer) return;
    absl::StatusOr<Changes> changes = ReadAllOf(*writer);
    next_reading_ = After(options_.read_again);
    if (changes.ok() && !changes->empty()) {
      Tell({.revision = mirror_.revision(), .changes = *std::move(changes)});
    }
  }

  // No more than is kept of it, however much there is: the watch waits meanwhile.
  absl::StatusOr<Changes> ReadAllOf(const std::string& writer) {
    Mirror::Listing listing = mirror_.Begin(writer);
    const auto read = ListInto(listing, writer, mirror_.revision());
    if (!read.ok() && !listing.complete()) return read.status();
    return mirror_.ReplaceOf(writer, std::move(listing));
  }

  void TellAgain() {
    if (options_.tell_again == nullptr) return;
    for (const std::string& beginning : options_.tell_again()) {
      Changes changes = mirror_.Below(beginning);
      if (changes.empty()) continue;
      Tell({.revision = mirror_.revision(), .changes = std::move(changes)});
    }
  }

  // Until something is wrong with it.
  absl::Status Watch() {
    absl::StatusOr<std::unique_ptr<etcd::Watch>> watch =
        client_.Open({.key = options_.prefix,
                      .end = PrefixEnd(options_.prefix),
                      .start_revision = mirror_.revision() + 1});
    RETURN_IF_ERROR(watch.status());
    if (!Hold(watch->get())) return absl::CancelledError("stopping");
    absl::Status status = Read(**watch);
    Hold(nullptr);
    if (!NeedsList(status)) client_.Leave(**watch);
    return Annotate(status, client_.UrlOf(**watch));
  }

  absl::Status Read(etcd::Watch& watch) {
    ASSIGN_OR_RETURN(const etcd::Watch::Batch first, watch.Next(After(kCreation)));
    RETURN_IF_ERROR(CheckHistory(first));
    stood_ = true;
    const MonotonicTime begin = std::chrono::steady_clock::now();
    MonotonicTime heard = begin;
    SetStanding(watch);
    RETURN_IF_ERROR(Take(first));
    ++quick_;
    for (;;) {
      absl::StatusOr<etcd::Watch::Batch> batch = watch.Next(After(options_.probe));
      const MonotonicTime now = std::chrono::steady_clock::now();
      if (now - begin >= kSettled) {
        backoff_.Reset();
        quick_ = 0;
      }
      if (batch.ok()) {
        heard = now;
        RETURN_IF_ERROR(Take(*std::move(batch)));
      } else if (!absl::IsDeadlineExceeded(batch.status())) {
        return batch.status();
      } else if (now - heard >= options_.silence) {
        return absl::UnavailableError("the watch is silent: not even progress is told");
      } else {
        RETURN_IF_ERROR(client_.Probe(watch, options_.prefix));
      }
      if (now < next_repeat_) continue;
      next_repeat_ = now + options_.probe;
      ReadAgain();
      TellAgain();
    }
  }

  // A watch from a revision that etcd has not reached yet is silent until it has: that must
  // not be taken for peace. Its member may also just be behind; a range waits until it is not.
  absl::Status CheckHistory(const etcd::Watch::Batch& created) {
    const bool resumed = std::exchange(resuming_, true);  // and not just been listed
    const KeyValue& last = mirror_.last();
    if (resumed || created.revision < mirror_.revision()) {
      const absl::StatusOr<RangeAnswer> then = client_.Range(
          {.key = last.key.empty() ? options_.prefix : last.key, .revision = mirror_.revision()});
      if (!then.ok()) {
        return absl::OutOfRangeError(absl::StrCat(
            "cannot go on after revision ", mirror_.revision(), ": ", then.status().message()));
      }
      const std::int64_t found = then->entries.empty() ? 0 : then->entries[0].mod_revision;
      if (then->term < mirror_.term() || (!last.key.empty() && found != last.mod_revision)) {
        return absl::OutOfRangeError("etcd has another history: restored from a backup?");
      }
    }
    if (!resumed) return absl::OkStatus();
    const std::lock_guard lock(mutex_);
    ++state_.resumptions;
    return absl::OkStatus();
  }

  absl::Status Take(etcd::Watch::Batch batch) {
    if (batch.events.empty()) {
      if (!batch.created) mirror_.Advance(batch.revision);
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(Changes changes, mirror_.Apply(std::move(batch)));
    if (!changes.empty()) {
      Tell({.revision = mirror_.revision(), .changes = std::move(changes)});
    }
    return absl::OkStatus();
  }

  void Tell(Update update) {
    {
      const std::lock_guard lock(mutex_);
      state_.revision = mirror_.revision();
      state_.keys = mirror_.size();
    }
    on_update_(std::move(update));
  }

  void SetStanding(const etcd::Watch& watch) {
    {
      const std::lock_guard lock(mutex_);
      state_.endpoint = client_.UrlOf(watch);
    }
    SetState(/*in_sync=*/true, absl::OkStatus());
  }

  void SetState(bool in_sync, const absl::Status& error) {
    State told;
    {
      const std::lock_guard lock(mutex_);
      if (state_.in_sync == in_sync && state_.error == error) return;
      if (state_.in_sync != in_sync) state_.since = std::chrono::system_clock::now();
      state_.in_sync = in_sync;
      state_.error = error;
      told = state_;
    }
    if (on_state_) on_state_(told);
  }

  bool Hold(etcd::Watch* watch) {
    const std::lock_guard lock(mutex_);
    watch_ = watch;
    return !stopping_;
  }

  bool stopping() const {
    const std::lock_guard lock(mutex_);
    return stopping_;
  }

  void Sleep(Duration delay) {
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, delay, [this] { return stopping_; });
  }

  const Options options_;
  const OnUpdate on_update_;
  const OnState on_state_;
  Client client_;
  // Of the thread.
  Backoff backoff_;
  Mirror mirror_;
  MonotonicTime next_reading_{};  // of a writer of whom something was left out
  MonotonicTime next_repeat_{};   // of what was told already, if somebody wants it
  bool resuming_ = false;         // the next watch is not the first one after a list
  bool stood_ = false;            // the last watch was taken by its member
  std::size_t quick_ = 0;         // watches in a row that stood, but not for long

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;         // guarded by mutex_, as what follows
  State state_;                   //
  etcd::Watch* watch_ = nullptr;  // that is being read
  std::thread thread_;
};

Follower::Follower(Options options, OnUpdate on_update, OnState on_state)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(on_update), std::move(on_state))) {
}
Follower::~Follower() = default;

Follower::State Follower::state() const { return impl_->state(); }

}  // namespace tombolo::etcd
