// SPDX-License-Identifier: Apache-2.0
#include "gateway/client_hello.h"

#include <functional>
#include <initializer_list>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "hello_bytes.h"

namespace tombolo::gateway {
namespace {

HelloView Read(absl::string_view stream) {
  return ReadClientHello({reinterpret_cast<const std::uint8_t*>(stream.data()), stream.size()});
}

// Nothing else is said.
void ExpectName(const HelloView& view, absl::string_view name) {
  EXPECT_EQ(view.needed, 0u);
  EXPECT_FALSE(view.refusal) << Name(*view.refusal);
  EXPECT_EQ(view.server_name, name);
}
void ExpectRefused(absl::string_view stream, Refusal refusal, absl::string_view what) {
  const HelloView view = Read(stream);
  EXPECT_EQ(view.needed, 0u) << what;
  EXPECT_EQ(view.server_name, "") << what;
  ASSERT_TRUE(view.refusal) << what;
  EXPECT_EQ(Name(*view.refusal), Name(refusal)) << what;
}
void ExpectMore(absl::string_view stream, std::size_t needed) {
  const HelloView view = Read(stream);
  EXPECT_EQ(view.needed, needed);
  EXPECT_FALSE(view.refusal);
  EXPECT_EQ(view.server_name, "");
}

constexpr char kName[] = "a.west.tombolo.internal";

TEST(ClientHelloTest, OneRecord) {
  ExpectName(Read(Hello().Record()), kName);
  ExpectName(Read(Hello().Record() + "anything behind it"), kName);
}

// What follows the message in its record is for the node to judge.
TEST(ClientHelloTest, TheMessageEndsBeforeItsRecord) {
  ExpectName(Read(Hello::Records(Hello().Message() + "more", 1 << 14)), kName);
}

// Each says how much it needs, and that much is a step further: nobody waits for what is not to
// come, and nobody looks again without anything new.
TEST(ClientHelloTest, ManyRecordsInAnyNumberOfPieces) {
  for (const std::size_t size : {3, 5, 50, 1000}) {
    const std::string stream = Hello::Records(Hello().Message(), size);
    std::size_t have = 0;
    for (;;) {
      const HelloView view = Read(stream.substr(0, have));
      if (view.needed == 0) {
        ExpectName(view, kName);
        break;
      }
      ASSERT_FALSE(view.refusal) << have;
      ASSERT_GT(view.needed, have);
      ASSERT_LE(view.needed, stream.size());
      have = view.needed;
    }
    EXPECT_EQ(have, stream.size());
    for (have = 0; have < stream.size(); ++have) {
      EXPECT_GT(Read(stream.substr(0, have)).needed, have);
    }
  }
}

TEST(ClientHelloTest, WhatIsNeededFirst) {
  ExpectMore("", 5);
  const std::string stream = Hello().Record();
  ExpectMore(stream.substr(0, 1), 5);
  ExpectMore(stream.substr(0, 5), 9);
  ExpectMore(stream.substr(0, 9), stream.size());
}

TEST(ClientHelloTest, NotTls) {
  for (const char* text : {"G", "GET / HTTP/1.1\r\n", "\x16\x02", "\x15\x03\x03", "\x17\x03\x03"}) {
    ExpectRefused(text, Refusal::kNotTls, text);
  }
  ExpectRefused(std::string(1, '\0'), Refusal::kNotTls, "zero");
}

TEST(ClientHelloTest, RecordsThatAreNone) {
  const std::string record = Hello().Record();
  const std::string head = record.substr(0, 3);
  ExpectRefused(head + Number(2, 0), Refusal::kMalformed, "empty");
  ExpectRefused(head + Number(2, (1 << 14) + 1), Refusal::kTooLarge, "too long");
  ExpectRefused(head + Number(2, 100) + Number(1, 2), Refusal::kMalformed, "a ServerHello");
  const std::string first = Hello::Records(Hello().Message().substr(0, 20), 100);
  ExpectRefused(first + "\x17", Refusal::kMalformed, "another type within the message");
  ExpectRefused(first + "\x16\x04", Refusal::kMalformed, "another version within the message");
}

// As soon as its length is known, not when all of it has come.
TEST(ClientHelloTest, TooLarge) {
  const std::size_t most = kMaxClientHello - 5 - 4;
  const std::string head = Number(1, 22) + Number(2, 0x0301) + Number(2, 1 << 14) + Number(1, 1);
  ExpectRefused(head + Number(3, most + 1), Refusal::kTooLarge, "one byte too many");
  ExpectMore(head + Number(3, most), kMaxClientHello);
  ExpectRefused(head + Number(3, 0xffffff), Refusal::kTooLarge, "all that can be said");
  // The headers of the records count.
  const std::string message = Number(1, 1) + Number(3, 16200) + std::string(16200, 'x');
  const std::string stream = Hello::Records(message, 400).substr(0, kMaxClientHello);
  ExpectRefused(stream, Refusal::kTooLarge, "in many records");
}

TEST(ClientHelloTest, InMoreRecordsThanAnybodyNeeds) {
  const std::string message = Hello().Message();
  const std::size_t most = message.size() / 64 + 1;
  ExpectName(Read(Hello::Records(message, most)), kName);
  ExpectRefused(Hello::Records(message, 1), Refusal::kMalformed, "in records of one byte");
  ExpectMore(Hello::Records(message.substr(0, 63), 1), 63 * 6 + 5);
  ExpectRefused(Hello::Records(message.substr(0, 64), 1), Refusal::kMalformed, "before the end");
}

TEST(ClientHelloTest, TheLargestIsRead) {
  Hello hello;
  hello.more = Extension(21, "");
  hello.more = Extension(21, std::string(kMaxClientHello - hello.Record().size(), '\0'));
  ASSERT_EQ(hello.Record().size(), kMaxClientHello);
  ExpectName(Read(hello.Record()), kName);
}

struct Bad {
  const char* what;
  std::function<void(Hello&)> change;
};

void ExpectAll(Refusal refusal, std::initializer_list<Bad> all) {
  for (const Bad& bad : all) {
    Hello hello;
    bad.change(hello);
    ExpectRefused(hello.Record(), refusal, bad.what);
  }
}

TEST(ClientHelloTest, NamesThatAreNone) {
  ExpectAll(Refusal::kNoServerName, {{"no extension", [](Hello& h) { h.server_name = ""; }}});
  ExpectAll(Refusal::kBadServerName,
            {{"empty", [](Hello& h) { h.server_name = ServerNames(HostName("")); }},
             {"a NUL",
              [](Hello& h) {
                h.server_name = ServerNames(HostName({"a\0b", 3}));
              }},
             {"a space", [](Hello& h) { h.server_name = ServerNames(HostName("a b")); }},
             {"a line break", [](Hello& h) { h.server_name = ServerNames(HostName("a\nb")); }},
             {"not ASCII", [](Hello& h) { h.server_name = ServerNames(HostName("\xc3\xa4")); }},
             {"too long",
              [](Hello& h) { h.server_name = ServerNames(HostName(std::string(256, 'a'))); }}});
  Hello longest;
  longest.server_name = ServerNames(HostName(std::string(255, 'a')));
  ExpectName(Read(longest.Record()), std::string(255, 'a'));
}

TEST(ClientHelloTest, OffersSomethingElse) {
  ExpectAll(Refusal::kNoTls13, {{"no versions", [](Hello& h) { h.versions = ""; }},
                                {"TLS 1.2", [](Hello& h) { h.versions = Versions(0x0302); }}});
  ExpectAll(Refusal::kNotTombolo, {{"no ALPN", [](Hello& h) { h.alpn = ""; }},
                                   {"another", [](Hello& h) { h.alpn = Alpn("http/1.1"); }},
                                   {"more than it", [](Hello& h) { h.alpn = Alpn("tombolo/11"); }},
                                   {"less than it", [](Hello& h) { h.alpn = Alpn("tombolo/"); }},
                                   {"no link", [](Hello& h) { h.alpn = Alpn("tombolo-link/"); }}});
}

TEST(ClientHelloTest, SaysWhetherItIsATunnelOrALink) {
  const auto protocol = [](const std::string& protocols) {
    Hello hello;
    hello.alpn = Extension(16, Vector(2, protocols));
    const HelloView view = Read(hello.Record());
    EXPECT_FALSE(view.refusal.has_value());
    return view.protocol;
  };
  const std::string tunnel = Vector(1, "tombolo/1"), link = Vector(1, "tombolo-link/1");
  EXPECT_EQ(protocol(tunnel), tls::Protocol::kTunnel);
  EXPECT_EQ(protocol(link), tls::Protocol::kLink);
  EXPECT_EQ(protocol(Vector(1, "h2") + link), tls::Protocol::kLink);
  EXPECT_EQ(protocol(tunnel + link), tls::Protocol::kTunnel);
  EXPECT_EQ(protocol(link + tunnel), tls::Protocol::kLink);
}

TEST(ClientHelloTest, NoExtensionsAtAll) {
  const std::string body = Hello().Body();
  const std::string old = body.substr(0, 2 + 32 + 33 + 6 + 2);
  ExpectRefused(Hello::Records(Number(1, 1) + Vector(3, old), 1 << 14), Refusal::kNoTls13, "none");
}

TEST(ClientHelloTest, Malformed) {
  ExpectAll(
      Refusal::kMalformed,
      {{"a long session id", [](Hello& h) { h.session_id = std::string(33, 's'); }},
       {"no suites", [](Hello& h) { h.suites = ""; }},
       {"half a suite", [](Hello& h) { h.suites = "123"; }},
       {"no compression", [](Hello& h) { h.compressions = ""; }},
       {"half an extension", [](Hello& h) { h.more = "\x01\x02\x03"; }},
       {"an extension longer than all", [](Hello& h) { h.more = Number(2, 5) + Number(2, 9); }},
       {"names: no list", [](Hello& h) { h.server_name = Extension(0, ""); }},
       {"names: an empty list", [](Hello& h) { h.server_name = ServerNames(""); }},
       {"names: another type",
        [](Hello& h) { h.server_name = ServerNames(Number(1, 1) + Vector(2, "a")); }},
       {"names: two", [](Hello& h) { h.server_name = ServerNames(HostName("a") + HostName("b")); }},
       {"names: twice", [](Hello& h) { h.server_name += h.server_name; }},
       {"names: bytes behind the list",
        [](Hello& h) { h.server_name = Extension(0, Vector(2, HostName("a")) + "x"); }},
       {"ALPN: a name longer than its list",
        [](Hello& h) { h.alpn = Extension(16, Vector(2, "\x05h2")); }},
       {"ALPN: bytes behind the list",
        [](Hello& h) { h.alpn = Extension(16, Vector(2, Vector(1, "tombolo/1")) + "x"); }},
       {"versions: half of one", [](Hello& h) { h.versions = Extension(43, Vector(1, "\x03")); }}});
}

// Whatever is cut off: the message says how long it is, so this is all but the records.
TEST(ClientHelloTest, ABodyThatEndsAnywhere) {
  const std::string body = Hello().Body();
  for (std::size_t size = 0; size < body.size(); ++size) {
    const std::string message = Number(1, 1) + Vector(3, body.substr(0, size));
    const HelloView view = Read(Hello::Records(message, 1 << 14));
    EXPECT_TRUE(view.refusal) << size;
  }
}

TEST(RefusalTest, EachHasItsName) {
  std::set<absl::string_view> names;
  for (int i = 0; i < static_cast<int>(Refusal::kCount); ++i) {
    EXPECT_TRUE(names.insert(Name(static_cast<Refusal>(i))).second) << i;
  }
  EXPECT_EQ(names.count("unknown"), 0u);
}

}  // namespace
}  // namespace tombolo::gateway
