// SPDX-License-Identifier: Apache-2.0
#include "identity/store.h"

#include <filesystem>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "testing/test_pki.h"
#include "tls/trust_bundle.h"
#include "unit/mesh/small_mesh.h"
#include "unit/source/temp_dir.h"

namespace tombolo::identity {
namespace {

using source::TempDir;
using testing::Flaw;
using ::testing::HasSubstr;
using testing::TestPki;

constexpr char kCurl[] = "/cluster/east/ns/shop/sa/curl";

class StoreTest : public ::testing::Test {
 protected:
  StoreTest() : pki_("td"), snapshot_(mesh::SmallMesh()) {
    EXPECT_TRUE(snapshot_->Index().ok());
    dir_.Write("bundle.pem", pki_.bundle());
  }
  void Write(const tls::Credentials::Pem& pem) {
    dir_.Write("shop/curl/svid.pem", pem.chain);
    dir_.Write("shop/curl/key.pem", pem.key);
  }
  StorePtr Load(const Store* previous = nullptr) {
    return Store::Load({.svids = dir_.Path(""), .bundle = dir_.Path("bundle.pem")}, *snapshot_,
                       "east", "east-1", previous);
  }
  std::string ErrorOf(const StorePtr& store) {
    return std::string(store->entries().at(curl_).error.message());
  }

  TempDir dir_;
  TestPki pki_;
  std::shared_ptr<mesh::Snapshot> snapshot_;
  const SpiffeId curl_ = snapshot_->workloads[0].id;
};

TEST_F(StoreTest, LoadsTheWorkloadsOfItsNodeOnly) {
  Write(pki_.Issue(kCurl));
  mesh::Workload twin = snapshot_->workloads[0];  // another pod of the same account
  twin.name = "east/curl-2";
  snapshot_->workloads.push_back(twin);
  const StorePtr store = Load();
  ASSERT_EQ(store->entries().size(), 1u);
  const tls::CredentialsPtr found = store->Find(curl_);
  ASSERT_NE(found, nullptr) << ErrorOf(store);
  EXPECT_EQ(found->id(), curl_);
  EXPECT_TRUE(store->entries().at(curl_).error.ok());
  EXPECT_EQ(store->Find(snapshot_->workloads[1].id), nullptr);  // west's
}

TEST_F(StoreTest, OneIdentityOfItsOwnDirectory) {
  const std::string path = "/cluster/east/gateway/gw-1";
  const SpiffeId own = pki_.Id(path);
  const auto write = [&](const tls::Credentials::Pem& pem) {
    dir_.Write("own/svid.pem", pem.chain);
    dir_.Write("own/key.pem", pem.key);
  };
  const auto load = [&](const Store* previous) {
    return Store::LoadOne(dir_.Path("own"), dir_.Path("bundle.pem"), own, previous);
  };
  const auto error = [&](const StorePtr& store) {
    return std::string(store->entries().at(own).error.message());
  };
  EXPECT_THAT(error(load(nullptr)), HasSubstr("own/svid.pem"));
  write(pki_.Issue(path));
  const StorePtr store = load(nullptr);
  ASSERT_NE(store->Find(own), nullptr) << error(store);
  EXPECT_EQ(load(store.get())->Find(own), store->Find(own)) << "nothing has changed";
  write(pki_.Issue("/cluster/east/node/gw-1"));
  const StorePtr kept = load(store.get());
  EXPECT_THAT(error(kept), HasSubstr("not of '"));
  EXPECT_EQ(kept->Find(own), store->Find(own));
  EXPECT_EQ(load(nullptr)->Find(own), nullptr);
}

TEST_F(StoreTest, MissingFilesAreNamed) {
  EXPECT_EQ(Load()->Find(curl_), nullptr);
  EXPECT_THAT(ErrorOf(Load()), HasSubstr("shop/curl/svid.pem"));
  Write(pki_.Issue(kCurl));
  std::filesystem::remove(dir_.Path("shop/curl/key.pem"));
  EXPECT_THAT(ErrorOf(Load()), HasSubstr("shop/curl/key.pem"));
  Write(pki_.Issue(kCurl));
  std::filesystem::remove(dir_.Path("bundle.pem"));
  EXPECT_EQ(Load()->Find(curl_), nullptr);
  EXPECT_THAT(ErrorOf(Load()), HasSubstr("bundle.pem"));
}

TEST_F(StoreTest, AnotherIdentityIsNeverServed) {
  Write(pki_.Issue("/cluster/east/ns/shop/sa/other"));
  const StorePtr store = Load();
  EXPECT_EQ(store->Find(curl_), nullptr);
  EXPECT_EQ(store->Find(pki_.Id("/cluster/east/ns/shop/sa/other")), nullptr);
  EXPECT_THAT(ErrorOf(store),
              HasSubstr("is the SVID of 'spiffe://td/cluster/east/ns/shop/sa/other'"));
}

TEST_F(StoreTest, AnotherRootIsRefused) {
  Write(TestPki("td").Issue(kCurl));
  EXPECT_EQ(Load()->Find(curl_), nullptr);
  EXPECT_FALSE(ErrorOf(Load()).empty());
}

TEST_F(StoreTest, BadNewFilesKeepWhatWasThere) {
  Write(pki_.Issue(kCurl));
  StorePtr store = Load();
  const tls::CredentialsPtr first = store->Find(curl_);
  ASSERT_NE(first, nullptr);
  dir_.Write("shop/curl/svid.pem", "not PEM");
  store = Load(store.get());
  EXPECT_EQ(store->Find(curl_), first);
  EXPECT_THAT(ErrorOf(store), HasSubstr("svid.pem"));
  // Half of a rotation: the new certificate with the old key.
  dir_.Write("shop/curl/svid.pem", pki_.Issue(kCurl).chain);
  store = Load(store.get());
  EXPECT_EQ(store->Find(curl_), first);
  EXPECT_FALSE(ErrorOf(store).empty());
  Write(pki_.Issue(kCurl));
  store = Load(store.get());
  EXPECT_NE(store->Find(curl_), first);
  EXPECT_NE(store->Find(curl_), nullptr);
  EXPECT_TRUE(ErrorOf(store).empty());
}

TEST_F(StoreTest, ExpiredOnesAreNotServed) {
  Write(pki_.Issue(kCurl, Flaw::kExpired));
  EXPECT_EQ(Load()->Find(curl_), nullptr);
  EXPECT_FALSE(ErrorOf(Load()).empty());
}

// Valid when loaded, and expired since.
TEST_F(StoreTest, ExpiryIsLookedAtWhenAsked) {
  const std::string key = *tls::GenerateKey();
  const auto chain =
      pki_.issuer().IssueSvid(pki_.Id(kCurl), key, tls::Validity::FromNow(std::chrono::seconds(4)));
  ASSERT_TRUE(chain.ok()) << chain.status();
  dir_.Write("shop/curl/svid.pem", *chain);
  dir_.Write("shop/curl/key.pem", key);
  StorePtr store = Load();
  ASSERT_NE(store->Find(curl_), nullptr) << ErrorOf(store);
  std::this_thread::sleep_until(store->Find(curl_)->not_after() + std::chrono::milliseconds(1));
  EXPECT_EQ(store->Find(curl_), nullptr);
  store = Load(store.get());
  EXPECT_EQ(store->Find(curl_), nullptr);
}

TEST_F(StoreTest, OversizedFilesAreRefused) {
  Write(pki_.Issue(kCurl));
  dir_.Write("shop/curl/key.pem", std::string((1 << 20) + 1, 'x'));
  EXPECT_THAT(ErrorOf(Load()), HasSubstr("key.pem' is larger than 1048576 bytes"));
}

TEST_F(StoreTest, WhatIsRevokedKeepsNothing) {
  Write(pki_.Issue(kCurl));
  StorePtr store = Load();
  const std::string serial = store->Find(curl_)->serial();
  EXPECT_TRUE(store->CheckRevoked(curl_, serial).ok());
  tls::TrustBundle bundle{.trust_domain = "td", .roots = pki_.bundle()};
  bundle.revoked.serials.insert(serial);
  dir_.Write("bundle.pem", *tls::WriteTrustBundle(bundle));
  store = Load(store.get());
  EXPECT_EQ(store->Find(curl_), nullptr);
  EXPECT_THAT(ErrorOf(store), HasSubstr("is revoked"));
  EXPECT_FALSE(store->CheckRevoked(curl_, serial).ok());
  // A bundle that cannot be read takes nothing back.
  dir_.Write("bundle.pem", "not PEM");
  store = Load(store.get());
  EXPECT_EQ(store->Find(curl_), nullptr);
  EXPECT_FALSE(store->CheckRevoked(curl_, serial).ok());
  dir_.Write("bundle.pem", pki_.bundle());
  EXPECT_NE(Load(store.get())->Find(curl_), nullptr);
}

TEST_F(StoreTest, WhatIsRevokedIsDroppedWhateverElseIsWrong) {
  Write(pki_.Issue(kCurl));
  StorePtr store = Load();
  tls::TrustBundle bundle{.trust_domain = "td", .roots = pki_.bundle()};
  bundle.revoked.serials.insert(store->Find(curl_)->serial());
  dir_.Write("bundle.pem", *tls::WriteTrustBundle(bundle));
  std::filesystem::remove(dir_.Path("shop/curl/svid.pem"));
  store = Load(store.get());
  EXPECT_EQ(store->Find(curl_), nullptr);
  EXPECT_THAT(ErrorOf(store), HasSubstr("svid.pem"));
}

TEST_F(StoreTest, AWorkloadThatIsGoneIsForgotten) {
  Write(pki_.Issue(kCurl));
  const StorePtr store = Load();
  snapshot_->workloads.erase(snapshot_->workloads.begin());
  EXPECT_TRUE(Load(store.get())->entries().empty());
}

}  // namespace
}  // namespace tombolo::identity
