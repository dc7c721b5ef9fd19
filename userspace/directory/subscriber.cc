// SPDX-License-Identifier: Apache-2.0
#include "directory/subscriber.h"

#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/string_view.h"
#include "source/directory_keys.h"
#include "source/directory_records.h"

namespace tombolo::directory {
namespace {

constexpr std::size_t kMaxKey = 512;  // more than any that counts
// About twice what DirectoryLimits lets one have, as it is written.
constexpr std::size_t kMaxOfCluster = 16 * 1024 * 1024;

absl::Status StatusOf(const etcd::Follower::State& state) {
  if (state.in_sync) return absl::OkStatus();
  return state.error.ok() ? absl::UnavailableError("etcd has not answered yet") : state.error;
}

static_assert(std::string_view(etcd::kTooLargeValue).starts_with(source::kLeftOutValue));
static_assert(std::string_view(etcd::kTooMuchOfWriter).starts_with(source::kLeftOutValue));

// No cluster can keep the others from being heard by what it writes. What is not below another's
// keys only administrators may write, and the own cluster, which harms nobody else here.
etcd::Follower::Options Bounded(etcd::Follower::Options options, std::string own) {
  const auto writer_of = [own = std::move(own)](absl::string_view key) -> std::string {
    const absl::string_view cluster = source::WriterOf(key);
    return cluster.empty() || cluster == own ? "" : source::ClusterKeys(cluster);
  };
  options.bounds = {.max_key = kMaxKey,
                    .max_value = source::DirectoryLimits::kRecordBytes,
                    .max_of_writer = kMaxOfCluster,
                    .writer_of = writer_of};
  return options;
}

}  // namespace

Subscriber::Subscriber(Options options)
    : feed_(options.feed),
      options_(Bounded(std::move(options.follower), std::move(options.feed.cluster))) {}

void Subscriber::Run(OnBuilt on_built) {
  feed_.Run(std::move(on_built));
  etcd::Follower::Options options = options_;
  options.tell_again = [this] { return feed_.AskAgain(); };
  follower_ = std::make_unique<etcd::Follower>(
      std::move(options),
      [this](etcd::Follower::Update update) {
        feed_.Update(std::move(update.changes), update.listed);
      },
      [this](const etcd::Follower::State& state) { feed_.SetInSync(state.in_sync); });
}

Subscriber::View Subscriber::view() const {
  const source::DirectoryFeed::View feed = feed_.view();
  View view{.status = feed.etcd_error,
            .listed = feed.listed,
            .kept_at = feed.kept_at,
            .state_error = feed.state_error,
            .endpoint = {}};
  const etcd::Follower::State state = follower_ ? follower_->state() : etcd::Follower::State{};
  if (view.status.ok()) view.status = StatusOf(state);
  view.since = state.since;
  view.revision = state.revision;
  view.endpoint = state.endpoint;
  return view;
}

}  // namespace tombolo::directory
