// SPDX-License-Identifier: Apache-2.0
#include "source/directory_feed.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "base/status_macros.h"
#include "source/directory_archive.h"

namespace tombolo::source {
namespace {

namespace fs = std::filesystem;

constexpr int kIdleShare = 4;
constexpr Duration kFreshFor = std::chrono::seconds(60);
// What nobody needs any more is given up after days (kVipKept).
constexpr Duration kPlanHolds = std::chrono::minutes(10);

std::int64_t Seconds(WallTime time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

absl::StatusOr<std::string> ReadArchive(const std::string& path) {
  std::error_code error;
  const std::uintmax_t size = fs::file_size(path, error);
  if (error) return absl::NotFoundError(absl::StrCat(path, ": ", error.message()));
  if (size > kMaxArchiveBytes) {
    return absl::DataLossError(absl::StrCat(path, " has more than ", kMaxArchiveBytes, " bytes"));
  }
  RETURN_IF_ERROR(CheckPrivate(path));
  std::ifstream in(path, std::ios::binary);
  std::string text(size, '\0');
  if (!in.read(text.data(), static_cast<std::streamsize>(size))) {
    return absl::UnavailableError(absl::StrCat(path, " cannot be read"));
  }
  return text;
}

}  // namespace

DirectoryFeed::DirectoryFeed(Options options)
    : options_(std::move(options)), shared_(options_.cluster) {
  if (options_.state.empty()) return;
  absl::StatusOr<SharedDirectory> kept = ReadState();
  if (kept.ok()) {
    shared_ = *std::move(kept);
  } else if (!absl::IsNotFound(kept.status())) {
    view_.state_error = kept.status();
  }
}

DirectoryFeed::~DirectoryFeed() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

absl::StatusOr<SharedDirectory> DirectoryFeed::ReadState() {
  ASSIGN_OR_RETURN(const std::string text, ReadArchive(StatePath()));
  ASSIGN_OR_RETURN(SharedDirectory kept, Unarchive(text, options_.cluster));
  std::error_code error;
  const fs::file_time_type time = fs::last_write_time(StatePath(), error);
  if (!error) {
    view_.kept_at =
        std::chrono::time_point_cast<WallTime::duration>(std::chrono::file_clock::to_sys(time));
  }
  return kept;
}

absl::StatusOr<DirectoryFeed::Built> DirectoryFeed::Build(FilePtr file) {
  SetFile(file);
  return Make(std::move(file));
}

absl::StatusOr<DirectoryFeed::Built> DirectoryFeed::Make(FilePtr file) {
  const SharedDirectory::Changed changed = shared_.TakeChanged();
  if (!current_ || changed.own || !changed.namespaces.empty()) planned_.reset();
  ASSIGN_OR_RETURN(ImportedDirectory imported, import_.Run(file, shared_, changed));
  Built built{.file = std::move(file),
              .snapshot = std::move(imported.snapshot),
              .refusals = std::move(imported.refusals),
              .publication = {}};
  // By what was there some time ago, another gateway's changes would be undone.
  if (options_.publish && current_) built.publication = PublicationOf(built);
  return built;
}

// Most of what others say is nothing to it.
Publication DirectoryFeed::PublicationOf(const Built& built) {
  const WallTime now = std::chrono::system_clock::now();
  const bool holds = planned_ && planned_->file == built.file && now >= planned_->at &&
                     now - planned_->at < kPlanHolds &&
                     planned_->seen->SharesNames(*built.snapshot);
  if (!holds) {
    planned_ = {
        .file = built.file,
        .at = now,
        .publication = PlanPublication(*built.file, *built.snapshot, shared_, Seconds(now))};
    const std::lock_guard lock(mutex_);
    ++view_.plans;
  }
  planned_->seen = built.snapshot;
  return planned_->publication;
}

void DirectoryFeed::Run(OnBuilt on_built) {
  new_file_ = false;  // Build() had it
  on_built_ = std::move(on_built);
  thread_ = std::thread([this] { Loop(); });
}

void DirectoryFeed::SetFile(FilePtr file) {
  const std::lock_guard lock(mutex_);
  file_ = std::move(file);
  new_file_ = true;
  wake_.notify_all();
}

void DirectoryFeed::Update(SharedDirectory::Changes changes, bool listed) {
  const std::lock_guard lock(mutex_);
  if (!told_) {
    told_ = {std::move(changes), listed};
  } else {
    // By key: what changes all the time costs no more for being waited for. A list is told as what
    // is different from before, so it adds to what was told, too.
    for (auto& [key, value] : changes) told_->changes[key] = std::move(value);
    told_->listed = told_->listed || listed;
  }
  wake_.notify_all();
}

void DirectoryFeed::SetInSync(bool in_sync) {
  const std::lock_guard lock(mutex_);
  in_sync_ = in_sync;
}

// One cluster at a time, in turn: one that writes all the time holds up no other's.
std::vector<std::string> DirectoryFeed::AskAgain() {
  const std::lock_guard lock(mutex_);
  if (with_room_.empty() || std::chrono::steady_clock::now() < next_ask_) return {};
  auto next = with_room_.upper_bound(asked_);
  if (next == with_room_.end()) next = with_room_.begin();
  asked_ = *next;
  with_room_.erase(next);
  next_ask_ = After(options_.ask_gap);
  return {ClusterKeys(asked_)};
}

DirectoryFeed::View DirectoryFeed::view() const {
  const std::lock_guard lock(mutex_);
  return view_;
}

void DirectoryFeed::Save() {
  if (!changed_ || options_.state.empty()) return;
  absl::Status saved = MakeDirectory(options_.state, 0700);
  if (saved.ok()) saved = ReplacePrivateFile(StatePath(), Archive(shared_));
  changed_ = !saved.ok();
  next_save_ = After(options_.save_gap);
  const std::lock_guard lock(mutex_);
  view_.state_error = std::move(saved);
}

// The file's time says how old it is, not when something has changed.
void DirectoryFeed::KeepFresh() {
  if (changed_ || options_.state.empty()) return;
  std::error_code ignored;
  fs::last_write_time(StatePath(), fs::file_time_type::clock::now(), ignored);
  next_save_ = After(kFreshFor);
}

absl::Status DirectoryFeed::Take(Batch batch) {
  if (batch.listed && !listed_) {
    // The first list is told as what there is; of what the disk had, the rest is gone.
    shared_.ForEach([&](const std::string& key, const std::string&) {
      batch.changes.try_emplace(key, std::nullopt);
    });
  }
  listed_ = listed_ || batch.listed;
  changed_ = changed_ || !batch.changes.empty();
  const absl::Status taken = shared_.Apply(std::move(batch.changes), batch.listed);
  current_ = taken.ok() && listed_;
  return taken;
}

// When the next snapshot may be made, after one of which the work began then.
void DirectoryFeed::SetPace(MonotonicTime began) {
  const MonotonicTime now = std::chrono::steady_clock::now();
  const bool quiet = began >= next_build_ + options_.longest_gap;
  gap_ = quiet ? options_.gap : std::min(2 * gap_, options_.longest_gap);
  next_build_ = now + std::max(gap_, kIdleShare * (now - began));
}

void DirectoryFeed::Work(std::optional<Batch> batch, std::unique_lock<std::mutex>& lock) {
  const FilePtr file = file_;
  new_file_ = false;
  lock.unlock();
  const MonotonicTime began = std::chrono::steady_clock::now();
  absl::Status taken;
  const bool told = batch.has_value();
  if (told) taken = Take(*std::move(batch));
  absl::StatusOr<Built> built = Make(file);
  const bool is_built = built.ok();
  if (is_built) on_built_(*std::move(built));
  SetPace(began);
  std::set<std::string> with_room = shared_.TakeClustersWithRoom();
  lock.lock();
  with_room_.merge(with_room);
  view_.listed = listed_;
  if (told) view_.etcd_error = std::move(taken);
  if (!is_built) view_.etcd_error = built.status();
}

void DirectoryFeed::Loop() {
  std::unique_lock lock(mutex_);
  const auto work = [this] { return stop_ || new_file_ || told_; };
  const auto stopped = [this] { return stop_; };
  while (!stop_) {
    wake_.wait_until(lock, std::max(next_save_, After(std::chrono::seconds(1))), work);
    if (!stop_ && work() && !wake_.wait_until(lock, next_build_, stopped)) {
      Work(std::exchange(told_, std::nullopt), lock);
    }
    const bool in_sync = in_sync_ && view_.listed && view_.etcd_error.ok();
    lock.unlock();
    if (std::chrono::steady_clock::now() >= next_save_) {
      Save();
      if (in_sync) KeepFresh();
    }
    lock.lock();
  }
  lock.unlock();
  Save();
}

}  // namespace tombolo::source
