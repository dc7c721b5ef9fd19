// SPDX-License-Identifier: Apache-2.0
#include "etcd/watch.h"

#include <atomic>

#include "etcd_case.h"
#include "testing/scripted_stream.h"

namespace tombolo::etcd {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;
using testing::ScriptedStream;

constexpr char kHeader[] =
    R"("header":{"cluster_id":"5","member_id":"6","revision":"9","raft_term":"2"})";

std::string EventText(const std::string& more) {
  return absl::StrCat(R"({"kv":{"key":"YQ==","value":"dg==","mod_revision":"8"})", more, "}");
}

// A watch of an etcd that says exactly this.
Watch Scripted(const std::vector<std::string>& results, std::string* sent) {
  std::string body;
  for (const std::string& result : results) {
    absl::StrAppend(&body, R"({"result":{)", kHeader, result, "}}\n");
  }
  auto lines = net::HttpLines::Begin(
      net::HttpConnection(
          std::make_unique<ScriptedStream>("HTTP/1.0 200 OK\r\n\r\n" + body, 1000, sent), "etcd:1"),
      {.path = kWatchPath, .body = "{}"}, After(seconds(1)));
  return Watch(*std::move(lines), 0);
}

TEST(WatchMessagesTest, AsksAsDocumented) {
  EXPECT_EQ(Encode(WatchRequest{.key = "a", .end = "b", .start_revision = 7, .previous = true}),
            R"({"create_request":{"key":"YQ==","range_end":"Yg==","start_revision":"7",)"
            R"("progress_notify":true,"fragment":true,"prev_kv":true}})");
}

TEST(WatchMessagesTest, ReadsEvents) {
  const auto message = DecodeWatch(absl::StrCat(
      R"({"result":{)", kHeader, R"(,"events":[)", EventText(""), ",",
      R"({"type":"DELETE","kv":{"key":"Yg==","mod_revision":"9"},"prev_kv":)",
      R"({"key":"Yg==","value":"dg==","create_revision":"3","mod_revision":"3","version":"1"}}]}})"));
  ASSERT_TRUE(message.ok()) << message.status();
  EXPECT_EQ(message->cluster, 5);
  EXPECT_EQ(message->term, 2);
  EXPECT_EQ(message->revision, 9);
  ASSERT_EQ(message->events.size(), 2);
  EXPECT_FALSE(message->events[0].deleted);
  EXPECT_EQ(message->events[0].entry.value, "v");
  EXPECT_FALSE(message->events[0].previous);
  EXPECT_TRUE(message->events[1].deleted);
  EXPECT_EQ(message->events[1].entry.key, "b");
  ASSERT_TRUE(message->events[1].previous);
  EXPECT_EQ(message->events[1].previous->value, "v");
}

TEST(WatchMessagesTest, RefusesWhatEtcdDoesNotSay) {
  for (const char* result :
       {R"(,"events":{})", R"(,"events":[{}])", R"(,"events":[{"kv":{"key":"YQ=="}}])",
        R"(,"created":1)", R"(,"compact_revision":"-1")",
        R"(,"events":[{"type":"MOVE","kv":{"key":"YQ==","mod_revision":"8"}}])"}) {
    const auto message = DecodeWatch(absl::StrCat(R"({"result":{)", kHeader, result, "}}"));
    EXPECT_TRUE(absl::IsInvalidArgument(message.status())) << result;
  }
  for (const char* line : {"", "[]", "{}", R"({"result":{}})", R"({"result":7})", "{\"result\":"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(DecodeWatch(line).status())) << line;
  }
}

TEST(WatchMessagesTest, ErrorsInTheStreamAreErrors) {
  EXPECT_TRUE(absl::IsUnavailable(
      DecodeWatch(R"({"error":{"grpc_code":14,"http_code":503,"message":"etcdserver: no leader"}})")
          .status()));
  EXPECT_TRUE(absl::IsUnauthenticated(
      DecodeWatch(R"({"error":{"code":16,"message":"etcdserver: invalid auth token"}})").status()));
  EXPECT_TRUE(absl::IsUnknown(DecodeWatch(R"({"error":{}})").status()));
}

TEST(WatchMessagesTest, PutsFragmentsTogether) {
  std::string sent;
  const std::string event = EventText("");
  Watch watch = Scripted({R"(,"created":true)", R"(,"fragment":true,"events":[)" + event + "]",
                          R"(,"fragment":true,"events":[)" + event + "," + event + "]",
                          R"(,"events":[)" + event + "]", ""},
                         &sent);
  const auto created = watch.Next(After(seconds(1)));
  ASSERT_TRUE(created.ok()) << created.status();
  EXPECT_TRUE(created->created);
  EXPECT_TRUE(created->events.empty());
  const auto whole = watch.Next(After(seconds(1)));
  ASSERT_TRUE(whole.ok()) << whole.status();
  EXPECT_EQ(whole->events.size(), 4);
  EXPECT_EQ(whole->revision, 8) << "of the last event, not of the store";
  const auto progress = watch.Next(After(seconds(1)));
  ASSERT_TRUE(progress.ok()) << progress.status();
  EXPECT_TRUE(progress->events.empty());
  EXPECT_EQ(progress->revision, 9);
}

TEST(WatchMessagesTest, EndsAreToldApart) {
  std::string sent;
  const auto end = [&](const std::string& result) {
    Watch watch = Scripted({result}, &sent);
    return watch.Next(After(seconds(1))).status();
  };
  const absl::Status compacted = end(R"(,"canceled":true,"compact_revision":"33")");
  EXPECT_TRUE(absl::IsOutOfRange(compacted)) << compacted;
  EXPECT_THAT(std::string(compacted.message()), HasSubstr("33"));
  EXPECT_TRUE(absl::IsPermissionDenied(
      end(R"(,"created":true,"canceled":true,"cancel_reason":"etcdserver: permission denied")")));
  EXPECT_TRUE(absl::IsUnauthenticated(
      end(R"(,"canceled":true,"cancel_reason":"etcdserver: invalid auth token")")));
  EXPECT_TRUE(absl::IsUnavailable(end(R"(,"canceled":true)")));
}

class WatchTest : public EtcdCase {
 protected:
  std::unique_ptr<Watch> Open(std::int64_t start) {
    auto watch = client_.Open(
        {.key = prefix_, .end = PrefixEnd(prefix_), .start_revision = start, .previous = true});
    EXPECT_TRUE(watch.ok()) << watch.status();
    const auto created = (*watch)->Next(After(seconds(10)));
    EXPECT_TRUE(created.ok() && created->created) << created.status();
    return *std::move(watch);
  }
  Client client_{To(Shared().endpoints())};
};

TEST_F(WatchTest, TellsFromARevisionOn) {
  Put(client_, prefix_ + "a", "1");
  const std::int64_t revision = client_.Range({.key = prefix_})->revision;
  Put(client_, prefix_ + "a", "2");
  Delete(client_, prefix_ + "a");
  const auto watch = Open(revision + 1);
  std::vector<Event> events;
  while (events.size() < 2) {
    const auto batch = watch->Next(After(seconds(10)));
    ASSERT_TRUE(batch.ok()) << batch.status();
    events.insert(events.end(), batch->events.begin(), batch->events.end());
  }
  EXPECT_EQ(events[0].entry.value, "2");
  EXPECT_EQ(events[0].previous->value, "1");
  EXPECT_TRUE(events[1].deleted);
  EXPECT_EQ(events[1].entry.mod_revision, revision + 2);
  EXPECT_TRUE(absl::IsDeadlineExceeded(watch->Next(After(milliseconds(50))).status()));
  Put(client_, prefix_ + "b", "3");
  const auto later = watch->Next(After(seconds(10)));
  ASSERT_TRUE(later.ok()) << later.status();
  EXPECT_EQ(later->events[0].entry.key, prefix_ + "b");
}

TEST_F(WatchTest, SaysWhatWasCompacted) {
  Put(client_, prefix_ + "a", "1");
  Put(client_, prefix_ + "a", "2");
  const std::int64_t revision = client_.Range({.key = prefix_})->revision;
  ASSERT_TRUE(
      client_.Administer("/v3/kv/compaction", absl::StrCat(R"({"revision":")", revision, R"("})"))
          .ok());
  const auto watch = Open(revision - 1);
  const absl::Status compacted = watch->Next(After(seconds(10))).status();
  EXPECT_TRUE(absl::IsOutOfRange(compacted)) << compacted;
  EXPECT_THAT(std::string(compacted.message()), HasSubstr(absl::StrCat(revision)));
}

TEST_F(WatchTest, EndsFromAnotherThread) {
  const auto watch = Open(0);
  std::atomic<bool> ended = false;
  std::thread reader([&] {
    EXPECT_TRUE(absl::IsUnavailable(watch->Next(After(seconds(60))).status()));
    ended = true;
  });
  watch->Abort();
  EXPECT_TRUE(Eventually([&] { return ended.load(); }, seconds(10)));
  reader.join();
}

}  // namespace
}  // namespace tombolo::etcd
