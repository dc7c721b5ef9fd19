// SPDX-License-Identifier: Apache-2.0
#include "tunnel/messages.h"

#include <functional>
#include <random>

#include <gmock/gmock.h>
#include <google/protobuf/stubs/logging.h>
#include <gtest/gtest.h>

namespace tombolo::tunnel {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(MessagesTest, IsOnTheWireAsDocumented) {
  EXPECT_THAT(Encode({MessageType::kReset, 0x01020304, "ab"}),
              ElementsAre(6, 0, 0, 2, 1, 2, 3, 4, 'a', 'b'));
}

TEST(MessagesTest, EveryTypeComesBack) {
  for (int type = 1; type <= 9; ++type) {
    const auto kind = static_cast<MessageType>(type);
    const bool empty = kind == MessageType::kEnd || kind == MessageType::kDone;
    const Message sent{kind, 0xfffffffe, empty ? "" : std::string("a\0b", 3)};
    const auto got = Decode(Encode(sent));
    ASSERT_TRUE(got.ok()) << Name(kind) << got.status();
    EXPECT_EQ(got->type, sent.type);
    EXPECT_EQ(got->connection, sent.connection);
    EXPECT_EQ(got->payload, sent.payload);
    EXPECT_NE(Name(kind), "unknown");
  }
}

TEST(MessagesTest, TheLargestFitsAndOneByteMoreDoesNot) {
  const Message largest{MessageType::kGoAway, 0, std::string(kMaxMessageSize - kHeaderSize, 'x')};
  EXPECT_TRUE(Decode(Encode(largest)).ok());
  const Message larger{MessageType::kGoAway, 0, largest.payload + "x"};
  EXPECT_TRUE(absl::IsInvalidArgument(Decode(Encode(larger)).status()));
}

TEST(MessagesTest, MalformedRecordsAreInvalid) {
  struct Case {
    Bytes record;
    const char* says;
  };
  const Case cases[] = {
      {{}, "of 0 bytes is too short"},
      {{1, 0, 0, 0, 0, 0, 0}, "of 7 bytes is too short"},
      {Bytes(kMaxMessageSize + 1, 1), "too long"},
      {{1, 0, 0, 1, 0, 0, 0, 0}, "claims 1 payload bytes and has 0"},
      {{1, 0, 0, 0, 0, 0, 0, 0, 9}, "claims 0 payload bytes and has 1"},
      {{1, 0, 0xff, 0xff, 0, 0, 0, 0}, "claims 65535"},
      {{0, 0, 0, 0, 0, 0, 0, 0}, "unknown type 0"},
      {{10, 0, 0, 0, 0, 0, 0, 0}, "unknown type 10"},
      {{255, 0xfe, 0, 0, 0, 0, 0, 0}, "unknown type 255"},
      {{4, 0, 0, 1, 0, 0, 0, 1, 0}, "END has an unexpected payload"},
      {{5, 0, 0, 1, 0, 0, 0, 1, 0}, "DONE has an unexpected payload"},
  };
  for (const Case& c : cases) {
    const auto message = Decode(c.record);
    EXPECT_TRUE(absl::IsInvalidArgument(message.status())) << c.says << message.status();
    EXPECT_THAT(std::string(message.status().message()), HasSubstr(c.says));
  }
}

TEST(MessagesTest, UnknownOptionalMessagesAreSkippedButMustBeWellFormed) {
  EXPECT_TRUE(absl::IsNotFound(Decode(Bytes{10, 1, 0, 1, 0, 0, 0, 0, 9}).status()));
  EXPECT_TRUE(absl::IsNotFound(Decode(Bytes{255, 0xff, 0, 0, 0, 0, 0, 0}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(Decode(Bytes{10, 1, 0, 2, 0, 0, 0, 0, 9}).status()));
  // A type that is known means what it always means.
  EXPECT_TRUE(Decode(Bytes{7, 1, 0, 0, 0, 0, 0, 0}).ok());
}

TEST(MessagesTest, PingIsBounded) {
  EXPECT_TRUE(Decode(Encode({MessageType::kPing, 0, std::string(kMaxPingSize, 'p')})).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(
      Decode(Encode({MessageType::kPing, 0, std::string(kMaxPingSize + 1, 'p')})).status()));
}

// Text that is not UTF-8 is no string of protobuf's, and it says so on stderr.
struct Quiet {
  google::protobuf::LogHandler* before = google::protobuf::SetLogHandler(nullptr);
  ~Quiet() { google::protobuf::SetLogHandler(before); }
};

TEST(MessagesTest, RandomBytesNeverCrashAndAcceptedOnesComeBack) {
  const Quiet quiet;
  std::mt19937 random(1);
  int accepted = 0;
  for (int i = 0; i < 200'000; ++i) {
    Bytes record(random() % 24);
    for (std::uint8_t& byte : record) byte = static_cast<std::uint8_t>(random());
    if (record.size() >= kHeaderSize && i % 2 == 0) {  // half of them get past the length
      record[0] %= 12;
      record[2] = 0;
      record[3] = static_cast<std::uint8_t>(record.size() - kHeaderSize);
    }
    const auto message = Decode(record);
    if (!message.ok()) continue;
    ++accepted;
    (void)ParsePayload<proto::Open>(*message);
    (void)ParsePayload<proto::Result>(*message);
    const auto again = Decode(Encode(*message));
    ASSERT_TRUE(again.ok());
    EXPECT_EQ(again->payload, message->payload);
  }
  EXPECT_GT(accepted, 1000);
}

TEST(MessagesTest, APayloadThatDoesNotParseIsInvalid) {
  const Quiet quiet;
  const auto open = ParsePayload<proto::Open>({MessageType::kOpen, 1, "\x0a\xff"});
  EXPECT_TRUE(absl::IsInvalidArgument(open.status()));
  EXPECT_THAT(std::string(open.status().message()), HasSubstr("OPEN does not parse"));
  // Text that is not UTF-8 never reaches a log.
  EXPECT_FALSE(ParsePayload<proto::Reset>({MessageType::kReset, 1, "\x12\x02\xff\xfe"}).ok());
}

proto::Open GoodOpen() {
  proto::Open open;
  open.set_connection_id(std::string(16, 'i'));
  open.set_service("shop/web");
  open.set_port(80);
  open.mutable_source()->set_ip(std::string(16, '\0'));
  open.mutable_source()->set_port(65535);
  *open.mutable_endpoint() = open.source();
  open.set_endpoint_workload("west/web");
  return open;
}

TEST(ValidateTest, AcceptsWithAndWithoutTheOptionalFields) {
  proto::Open open = GoodOpen();
  EXPECT_TRUE(Validate(open).ok());
  open.clear_source();
  open.clear_endpoint();
  open.clear_endpoint_workload();
  EXPECT_TRUE(Validate(open).ok());
}

TEST(ValidateTest, RejectsSizesAndRangesByName) {
  struct Case {
    const char* says;
    std::function<void(proto::Open&)> spoil;
  };
  const Case cases[] = {
      {"connection id", [](proto::Open& o) { o.set_connection_id(std::string(15, 'i')); }},
      {"connection id", [](proto::Open& o) { o.set_connection_id(std::string(17, 'i')); }},
      {"connection id", [](proto::Open& o) { o.clear_connection_id(); }},
      {"service", [](proto::Open& o) { o.clear_service(); }},
      {"service", [](proto::Open& o) { o.set_service(std::string(513, 's')); }},
      {"endpoint workload", [](proto::Open& o) { o.set_endpoint_workload(std::string(513, 'w')); }},
      {"port", [](proto::Open& o) { o.set_port(0); }},
      {"port", [](proto::Open& o) { o.set_port(65536); }},
      {"source address", [](proto::Open& o) { o.mutable_source()->set_ip("1234"); }},
      {"source address", [](proto::Open& o) { o.mutable_source()->set_port(65536); }},
      {"endpoint address", [](proto::Open& o) { o.mutable_endpoint()->clear_ip(); }},
      {"endpoint address",
       [](proto::Open& o) { o.mutable_endpoint()->set_ip(std::string(17, 0)); }},
  };
  for (const Case& c : cases) {
    proto::Open open = GoodOpen();
    c.spoil(open);
    const absl::Status status = Validate(open);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << c.says;
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.says));
  }
}

TEST(NameTest, EveryCodeHasOne) {
  for (int code = proto::CODE_OK; code <= proto::CODE_KEY_BUDGET; ++code) {
    EXPECT_NE(Name(static_cast<proto::Code>(code)), "unknown code") << code;
  }
  EXPECT_EQ(Name(static_cast<proto::Code>(99)), "unknown code");
}

}  // namespace
}  // namespace tombolo::tunnel
