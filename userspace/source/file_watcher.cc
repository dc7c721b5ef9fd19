// SPDX-License-Identifier: Apache-2.0
#include "source/file_watcher.h"

#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include <boost/asio/experimental/awaitable_operators.hpp>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "base/errno_status.h"

namespace tombolo::source {
namespace {

namespace fs = std::filesystem;

constexpr std::uint32_t kEvents = IN_CLOSE_WRITE | IN_MODIFY | IN_ATTRIB | IN_CREATE | IN_DELETE |
                                  IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF |
                                  IN_ONLYDIR;
constexpr int kMaxLinks = 40;  // as the kernel: path_resolution(7)
constexpr int kMaxReads = 64;  // of 64 KiB of events per wake-up
constexpr std::size_t kEventBytes = 64 * 1024;

fs::path ParentOf(const fs::path& path) {
  const fs::path parent = path.parent_path();
  return parent.empty() ? fs::path(".") : parent;
}

// The nearest directory that is there, from `path` upwards.
fs::path NearestDirectory(fs::path path) {
  std::error_code error;
  while (!fs::is_directory(path, error)) {
    const fs::path parent = ParentOf(path);
    if (parent == path) break;
    path = parent;
  }
  return path;
}

}  // namespace

absl::StatusOr<std::unique_ptr<FileWatcher>> FileWatcher::Create(asio::io_context& io) {
  const int inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  if (inotify < 0) return ErrnoStatus(errno, "inotify_init1");
  return std::unique_ptr<FileWatcher>(new FileWatcher(io, inotify));
}

FileWatcher::FileWatcher(asio::io_context& io, int inotify) : inotify_(io, inotify), timer_(io) {}

void FileWatcher::Watch(std::vector<std::string> files, std::vector<std::string> directories) {
  files_ = std::move(files);
  directories_ = std::move(directories);
  prints_ = Look();
}

void FileWatcher::Cancel() {
  if (!pending_) return;
  cancelled_ = true;
  timer_.cancel();
}

// Watches come before the look at each place, so that a change in between is
// either seen by the look or announced after it.
FileWatcher::Prints FileWatcher::Look() {
  Prints prints;
  wanted_.clear();
  inotify_status_ = absl::OkStatus();
  for (const std::string& file : files_) {
    AddWatchesFor(file);
    LookAtFile(file, prints);
  }
  for (const std::string& directory : directories_) {
    AddWatchesFor(directory);
    LookBelow(directory, 0, prints);
  }
  for (const int watch : watches_) {
    if (!wanted_.contains(watch)) inotify_rm_watch(inotify_.native_handle(), watch);
  }
  watches_ = wanted_;
  return prints;
}

void FileWatcher::LookAtFile(const std::string& path, Prints& prints) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) {
    prints[path] = {};
    return;
  }
  const auto nanoseconds = [](const timespec& time) {
    return static_cast<std::int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
  };
  // A directory's own times change with entries that nobody asked about.
  const bool is_directory = S_ISDIR(info.st_mode);
  prints[path] = {info.st_dev, info.st_ino, is_directory ? 0 : info.st_size,
                  is_directory ? 0 : nanoseconds(info.st_mtim),
                  is_directory ? 0 : nanoseconds(info.st_ctim)};
}

void FileWatcher::LookBelow(const std::string& directory, int depth, Prints& prints) {
  AddWatch(directory);
  LookAtFile(directory, prints);
  std::error_code error;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end;
       entry.increment(error)) {
    if (prints.size() >= kMaxFiles) return;
    const std::string path = entry->path().string();
    std::error_code ignored;
    if (!entry->is_directory(ignored)) {
      LookAtFile(path, prints);
    } else if (depth < kMaxDepth) {
      LookBelow(path, depth + 1, prints);
    }
  }
}

// The directory that `path` is in, and those of each symbolic link on the way to
// the file: a change of any of them may change what the path means.
void FileWatcher::AddWatchesFor(const std::string& path) {
  fs::path current(path);
  for (int links = 0; links < kMaxLinks; ++links) {
    AddWatch(NearestDirectory(ParentOf(current)).string());
    std::error_code error;
    const fs::path target = fs::read_symlink(current, error);
    if (error) break;
    current = target.is_absolute() ? target : ParentOf(current) / target;
  }
}

void FileWatcher::AddWatch(const std::string& directory) {
  const int watch = inotify_add_watch(inotify_.native_handle(), directory.c_str(), kEvents);
  if (watch >= 0) {
    wanted_.insert(watch);
  } else if (errno != ENOENT && errno != ENOTDIR) {
    inotify_status_ = ErrnoStatus(errno, absl::StrCat("watch directory '", directory, "'"));
  }
}

// True when there was an event.
bool FileWatcher::Drain() {
  alignas(inotify_event) char events[kEventBytes];
  bool any = false;
  for (int i = 0; i < kMaxReads; ++i) {
    if (read(inotify_.native_handle(), events, sizeof(events)) <= 0) break;
    any = true;
  }
  return any;
}

// True when inotify has events, false at `until` or when cancelled.
Awaitable<bool> FileWatcher::WaitForEvents(MonotonicTime until) {
  using namespace asio::experimental::awaitable_operators;  // NOLINT: that is how they are used
  if (cancelled_) co_return false;
  timer_.expires_at(until);
  const auto first =
      co_await (inotify_.async_wait(asio::posix::stream_descriptor::wait_read, kUseTuple) ||
                timer_.async_wait(kUseTuple));
  co_return first.index() == 0 && !std::get<0>(std::get<0>(first));
}

Awaitable<absl::Status> FileWatcher::Changed() {
  pending_ = true;
  // Also when a cancelled coroutine is unwound.
  const absl::Cleanup done = [this] { pending_ = cancelled_ = false; };
  for (;;) {
    const bool seen = co_await WaitForEvents(After(kLookAgain));
    if (seen) {
      const MonotonicTime latest = After(kMaxDelay);
      while (Drain() && std::chrono::steady_clock::now() < latest) {
        co_await WaitForEvents(std::min(latest, After(kQuiet)));
      }
    }
    if (cancelled_) co_return absl::CancelledError("cancelled");
    Prints now = Look();
    if (now == prints_) continue;
    prints_ = std::move(now);
    co_return absl::OkStatus();
  }
}

}  // namespace tombolo::source
