// SPDX-License-Identifier: Apache-2.0
#include "tls/record_protection.h"

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/crypto.h>

#include "absl/strings/escaping.h"
#include "tls/alert.h"
#include "tls/openssl.h"
#include "tls/record_stream.h"

namespace tombolo::tls {
namespace {

using Bytes = std::vector<std::uint8_t>;

Bytes Hex(absl::string_view text) {
  const std::string bytes = absl::HexStringToBytes(text);
  return {bytes.begin(), bytes.end()};
}

template <typename Range>
std::string ToHex(const Range& bytes) {
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

constexpr Suite kSuites[] = {Suite::kAes128GcmSha256, Suite::kAes256GcmSha384,
                             Suite::kChaCha20Poly1305Sha256};

// RFC 8448, section 3, "application data" of the simple 1-RTT handshake.
constexpr char kClientSecret[] = "9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5";
constexpr char kServerSecret[] = "a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643";
constexpr char kClientRecord[] =
    "1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a9a20441e"
    "2b62974e1f5a6292a2977014bd1e3deae63aeebb21694915e4";
constexpr char kClientAlert[] = "1703030013c9872760655666b74d7ff1153efd6db6d0b0e3";

TrafficKey ClientKey() {
  return *DeriveTrafficKey(Suite::kAes128GcmSha256, Secret(Hex(kClientSecret)));
}

TrafficKey KeyFor(Suite suite) {
  Bytes secret(suite == Suite::kAes256GcmSha384 ? 48 : 32);
  std::iota(secret.begin(), secret.end(), 1);
  return *DeriveTrafficKey(suite, Secret(secret));
}

Bytes Seal(RecordSealer& sealer, std::uint8_t type, const Bytes& plaintext) {
  Bytes slot(plaintext.size() + kRecordOverhead);
  std::copy(plaintext.begin(), plaintext.end(), slot.begin() + kHeaderSize);
  const auto size = sealer.Seal(type, absl::MakeSpan(slot), plaintext.size());
  EXPECT_TRUE(size.ok()) << size.status();
  EXPECT_EQ(*size, slot.size());
  return slot;
}

// The first record under `key` with any inner plaintext: padded, without a type,
// or longer than allowed, none of which the sealer makes.
Bytes SealInner(const TrafficKey& key, const Bytes& inner) {
  const std::size_t length = inner.size() + kTagSize;
  const Bytes header = {kApplicationData, 3, 3, static_cast<std::uint8_t>(length >> 8),
                        static_cast<std::uint8_t>(length)};
  Bytes record(kHeaderSize + length);
  std::copy(header.begin(), header.end(), record.begin());
  int out = 0;
  EVP_CIPHER_CTX* context = EVP_CIPHER_CTX_new();
  EVP_EncryptInit_ex(context, EVP_aes_128_gcm(), nullptr, key.key.data(), key.iv.data());
  EVP_EncryptUpdate(context, nullptr, &out, record.data(), kHeaderSize);
  EVP_EncryptUpdate(context, record.data() + kHeaderSize, &out, inner.data(),
                    static_cast<int>(inner.size()));
  EVP_EncryptFinal_ex(context, record.data() + kHeaderSize, &out);
  EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, kTagSize,
                      record.data() + kHeaderSize + inner.size());
  EVP_CIPHER_CTX_free(context);
  return record;
}

TEST(KeyScheduleTest, MatchesRfc8448) {
  const TrafficKey client = ClientKey();
  EXPECT_EQ(ToHex(absl::MakeSpan(client.key).first(client.key_size)),
            "17422dda596ed5d9acd890e3c63f5051");
  EXPECT_EQ(ToHex(client.iv), "5b78923dee08579033e523d9");
  const auto server = DeriveTrafficKey(Suite::kAes128GcmSha256, Secret(Hex(kServerSecret)));
  ASSERT_TRUE(server.ok());
  EXPECT_EQ(ToHex(absl::MakeConstSpan(server->key).first(16)), "9f02283b6c9c07efc26bb9f2ac92e356");
  EXPECT_EQ(ToHex(server->iv), "cf782b88dd83549aadf1e984");
}

TEST(KeyScheduleTest, RefusesASecretOfTheWrongSize) {
  EXPECT_FALSE(DeriveTrafficKey(Suite::kAes256GcmSha384, Secret(Bytes(32, 1))).ok());
  EXPECT_FALSE(DeriveTrafficKey(Suite::kAes128GcmSha256, Secret(Bytes(48, 1))).ok());
  EXPECT_FALSE(DeriveTrafficKey(Suite::kAes128GcmSha256, Secret()).ok());
}

TEST(KeyScheduleTest, KnowsItsSuites) {
  for (const Suite suite : kSuites) {
    EXPECT_EQ(*SuiteFromNumber(static_cast<std::uint16_t>(suite)), suite);
  }
  EXPECT_FALSE(SuiteFromNumber(0x1304).ok());
}

TEST(RecordProtectionTest, SealsAsRfc8448) {
  auto sealer = RecordSealer::Create(ClientKey());
  ASSERT_TRUE(sealer.ok());
  Bytes data(50);
  std::iota(data.begin(), data.end(), 0);
  EXPECT_EQ(ToHex(Seal(*sealer, kApplicationData, data)), kClientRecord);
  EXPECT_EQ(ToHex(Seal(*sealer, kAlert, {1, 0})), kClientAlert);
}

TEST(RecordProtectionTest, OpensAsRfc8448) {
  auto opener = RecordOpener::Create(ClientKey());
  ASSERT_TRUE(opener.ok());
  Bytes record = Hex(kClientRecord);
  EXPECT_EQ(*RecordSize(record), record.size());
  auto opened = opener->Open(absl::MakeSpan(record));
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ(opened->type, kApplicationData);
  EXPECT_EQ(opened->payload.size(), 50);
  EXPECT_EQ(opened->payload[49], 49);
  Bytes alert = Hex(kClientAlert);
  opened = opener->Open(absl::MakeSpan(alert));
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ(opened->type, kAlert);
}

TEST(RecordProtectionTest, RoundTripsAtEveryEdge) {
  for (const Suite suite : kSuites) {
    auto sealer = RecordSealer::Create(KeyFor(suite));
    auto opener = RecordOpener::Create(KeyFor(suite));
    ASSERT_TRUE(sealer.ok() && opener.ok());
    for (const std::size_t size : {0, 1, 2, 15, 16, 17, 255, 256, 4095, 4096, 16383, 16384}) {
      Bytes data(size);
      std::iota(data.begin(), data.end(), static_cast<std::uint8_t>(size));
      Bytes record = Seal(*sealer, size % 2 == 0 ? kControl : kApplicationData, data);
      const auto opened = opener->Open(absl::MakeSpan(record));
      ASSERT_TRUE(opened.ok()) << size << opened.status();
      EXPECT_EQ(opened->type, size % 2 == 0 ? kControl : kApplicationData);
      EXPECT_EQ(Bytes(opened->payload.begin(), opened->payload.end()), data);
    }
    EXPECT_EQ(sealer->sequence(), 12);
    EXPECT_EQ(opener->sequence(), 12);
  }
}

TEST(RecordProtectionTest, EveryChangedBitIsNoticed) {
  for (const Suite suite : kSuites) {
    auto sealer = RecordSealer::Create(KeyFor(suite));
    const Bytes record = Seal(*sealer, kApplicationData, Bytes(20, 'a'));
    for (std::size_t bit = 0; bit < record.size() * 8; ++bit) {
      Bytes changed = record;
      changed[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
      auto opener = RecordOpener::Create(KeyFor(suite));
      const auto opened = opener->Open(absl::MakeSpan(changed));
      ASSERT_FALSE(opened.ok()) << bit;
      EXPECT_EQ(AlertOf(opened.status()), kBadRecordMac);
    }
  }
}

TEST(RecordProtectionTest, ReplayAndReorderAreNoticed) {
  auto sealer = RecordSealer::Create(ClientKey());
  auto opener = RecordOpener::Create(ClientKey());
  const Bytes first = Seal(*sealer, kApplicationData, {1});
  const Bytes second = Seal(*sealer, kApplicationData, {2});
  Bytes copy = second;
  EXPECT_FALSE(opener->Open(absl::MakeSpan(copy)).ok());
  copy = first;
  EXPECT_TRUE(opener->Open(absl::MakeSpan(copy)).ok());
  copy = first;
  EXPECT_FALSE(opener->Open(absl::MakeSpan(copy)).ok());
}

TEST(RecordProtectionTest, StripsPadding) {
  auto opener = RecordOpener::Create(ClientKey());
  Bytes record = SealInner(ClientKey(), {'h', 'i', 0, kApplicationData, 0, 0, 0, 0});
  const auto opened = opener->Open(absl::MakeSpan(record));
  ASSERT_TRUE(opened.ok());
  EXPECT_THAT(opened->payload, ::testing::ElementsAre('h', 'i', 0));
}

TEST(RecordProtectionTest, NothingButPaddingIsAnError) {
  auto opener = RecordOpener::Create(ClientKey());
  Bytes record = SealInner(ClientKey(), Bytes(9, 0));
  const auto opened = opener->Open(absl::MakeSpan(record));
  EXPECT_TRUE(absl::IsInvalidArgument(opened.status()));
  EXPECT_EQ(AlertOf(opened.status()), kUnexpectedMessage);
}

TEST(RecordProtectionTest, ShortAndLongRecords) {
  auto opener = RecordOpener::Create(ClientKey());
  Bytes small = {23, 3, 3, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  EXPECT_EQ(AlertOf(opener->Open(absl::MakeSpan(small)).status()), kBadRecordMac);
  EXPECT_EQ(*RecordSize(Bytes{23, 3, 3, 0x41, 0x00}), kMaxRecord);
  EXPECT_EQ(AlertOf(RecordSize(Bytes{23, 3, 3, 0x41, 0x01}).status()), kRecordOverflow);
  EXPECT_EQ(AlertOf(RecordSize(Bytes{22, 3, 3, 0, 32}).status()), kUnexpectedMessage);
  EXPECT_EQ(AlertOf(RecordSize(Bytes{20, 3, 3, 0, 1}).status()), kUnexpectedMessage);
}

// 2^14 + 1 bytes fit into a ciphertext of 2^14 + 256, but not into a record.
TEST(RecordProtectionTest, TooMuchPlaintextIsAnOverflow) {
  auto opener = RecordOpener::Create(ClientKey());
  Bytes record = SealInner(ClientKey(), Bytes(kMaxPlaintext + 2, kApplicationData));
  EXPECT_EQ(*RecordSize(record), record.size());
  const auto opened = opener->Open(absl::MakeSpan(record));
  EXPECT_TRUE(absl::IsInvalidArgument(opened.status()));
  EXPECT_EQ(AlertOf(opened.status()), kRecordOverflow);
}

TEST(RecordProtectionTest, TheSealerRefusesTooMuch) {
  auto sealer = RecordSealer::Create(ClientKey());
  Bytes slot(kMaxPlaintext + 1 + kRecordOverhead);
  EXPECT_FALSE(sealer->Seal(kApplicationData, absl::MakeSpan(slot), kMaxPlaintext + 1).ok());
  EXPECT_FALSE(sealer->Seal(kApplicationData, absl::MakeSpan(slot).first(30), 20).ok());
  EXPECT_EQ(sealer->sequence(), 0);
}

TEST(RecordProtectionTest, TheBudgetEndsTheKey) {
  auto sealer = RecordSealer::Create(ClientKey(), kRecordBudget - 1);
  auto opener = RecordOpener::Create(ClientKey(), kRecordBudget - 1);
  const auto pass = [&](std::uint8_t type) {
    Bytes record = Seal(*sealer, type, {7});
    EXPECT_TRUE(opener->Open(absl::MakeSpan(record)).ok());
  };
  Bytes slot(64);
  const auto refused = [&](std::uint8_t type) {
    return absl::IsResourceExhausted(sealer->Seal(type, absl::MakeSpan(slot), 1).status());
  };
  EXPECT_EQ(sealer->remaining(), 1);
  pass(kApplicationData);
  EXPECT_EQ(sealer->remaining(), 0);
  // A RESET may still say why, and an alert after any number of those.
  for (std::uint64_t i = 0; i < kControlReserve; ++i) {
    EXPECT_TRUE(refused(kApplicationData));
    pass(kControl);
  }
  for (std::uint64_t i = 0; i < kAlertReserve; ++i) {
    EXPECT_TRUE(refused(kControl));
    pass(kAlert);
  }
  EXPECT_TRUE(refused(kAlert));
  Bytes record(64);
  EXPECT_TRUE(absl::IsResourceExhausted(opener->Open(absl::MakeSpan(record)).status()));
}

TEST(AlertTest, Names) {
  EXPECT_EQ(AlertName(116), "certificate_required (116)");
  EXPECT_EQ(AlertName(200), "unknown alert (200)");
}

// However many tunnels there are, OpenSSL finds room in the arena for its own keys.
TEST(SecretTest, LeavesRoomForOpenssl) {
  const std::vector<std::uint8_t> bytes(32, 7);
  std::vector<Secret> secrets;
  for (int i = 0; i < 40'000; ++i) secrets.emplace_back(bytes);
  EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), secrets.back().bytes().begin()));
  void* own = OPENSSL_secure_malloc(64);
  EXPECT_NE(own, nullptr);
  OPENSSL_secure_free(own);
  secrets.clear();
  EXPECT_EQ(CRYPTO_secure_used(), 0u);
}

// More keys in turn than a thread keeps OpenSSL's state of: each goes on where it was.
TEST(RecordCipherTest, ManyConnectionsOnOneThread) {
  constexpr int kConnections = 700;
  std::vector<RecordSealer> sealers;
  std::vector<RecordOpener> openers;
  for (int i = 0; i < kConnections; ++i) {
    TrafficKey key = KeyFor(kSuites[i % 3]);
    key.key[0] = static_cast<std::uint8_t>(i);
    key.key[1] = static_cast<std::uint8_t>(i >> 8);
    sealers.push_back(*RecordSealer::Create(key));
    openers.push_back(*RecordOpener::Create(key));
  }
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < kConnections; ++i) {
      const Bytes text(100, static_cast<std::uint8_t>(i + round));
      Bytes record = Seal(sealers[i], kApplicationData, text);
      const auto opened = openers[i].Open(absl::MakeSpan(record));
      ASSERT_TRUE(opened.ok()) << i << ": " << opened.status();
      ASSERT_EQ(Bytes(opened->payload.begin(), opened->payload.end()), text);
    }
  }
}

// The state of a key that has gone must not serve another one in its place.
TEST(RecordCipherTest, AKeyTakesNothingFromItsPredecessor) {
  Bytes first, second;
  TrafficKey key = KeyFor(Suite::kAes128GcmSha256);
  {
    RecordSealer sealer = *RecordSealer::Create(key);
    RecordSealer moved = std::move(sealer);
    first = Seal(moved, kApplicationData, Bytes(10, 1));
  }
  key.key[0] ^= 1;
  RecordSealer other = *RecordSealer::Create(key);
  second = Seal(other, kApplicationData, Bytes(10, 1));
  EXPECT_NE(first, second);
  RecordOpener opener = *RecordOpener::Create(key);
  EXPECT_TRUE(opener.Open(absl::MakeSpan(second)).ok());
  EXPECT_FALSE(RecordOpener::Create(key)->Open(absl::MakeSpan(first)).ok());
}

}  // namespace
}  // namespace tombolo::tls
