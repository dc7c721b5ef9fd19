// SPDX-License-Identifier: Apache-2.0
#include "core/registry.h"

#include <fstream>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_replace.h"
#include "core_case.h"
#include "tls/credentials.h"
#include "tls/trust_bundle.h"

namespace tombolo::ca {
namespace {

using std::chrono::milliseconds;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr char kDirectory[] = R"(trust_domain: test.example
clusters:
  - name: east
    nodes:
      - {name: n1, tunnel: "10.0.0.1:15008"}
workloads:
  - {name: web, cluster: east, node: n1, namespace: shop, service_account: web}
)";

class RegistryTest : public CoreCase {
 protected:
  RegistryTest() {
    AddCluster("east");
    options_.trust_domain = kDomain;
    options_.hosts = {"localhost", "127.0.0.1"};
    options_.interval = milliseconds(5);
    options_.tick = milliseconds(20);
  }
  ~RegistryTest() override { registry_.reset(); }

  absl::Status Start() {
    auto registry = Registry::Start(store_, *ledger_, options_, [this](const ViewPtr& view) {
      ++views_;
      EXPECT_NE(view, nullptr);
    });
    if (!registry.ok()) return registry.status();
    registry_ = *std::move(registry);
    return absl::OkStatus();
  }
  // Waits for a view that is as wanted.
  ViewPtr Await(const std::function<bool(const View&)>& wanted) const {
    for (int i = 0; i < 1000; ++i) {
      ViewPtr view = registry_->view();
      if (wanted(*view)) return view;
      std::this_thread::sleep_for(milliseconds(5));
    }
    ADD_FAILURE() << "the view did not become what it should";
    return registry_->view();
  }
  void AwaitProblem(const std::string& text) const {
    for (int i = 0; i < 1000; ++i) {
      for (const std::string& problem : registry_->Problems()) {
        if (problem.find(text) != std::string::npos) return;
      }
      std::this_thread::sleep_for(milliseconds(5));
    }
    ADD_FAILURE() << "no problem with '" << text << "'";
  }
  void WriteDirectory(const std::string& text) const {
    std::ofstream(directory_ / "directory.yaml") << text;
  }
  static tls::TrustBundle BundleOf(const View& view) {
    auto bundle = tls::ParseTrustBundle(view.bundle, kDomain, "bundle");
    EXPECT_TRUE(bundle.ok()) << bundle.status();
    return *std::move(bundle);
  }

  Registry::Options options_{.trust_domain = {}, .keys = keys_};
  std::atomic<int> views_ = 0;
  std::unique_ptr<Registry> registry_;
};

TEST_F(RegistryTest, PublishesWhatTheStoreHas) {
  ASSERT_TRUE(Start().ok());
  const ViewPtr view = registry_->view();
  EXPECT_THAT(registry_->Problems(), IsEmpty());
  EXPECT_THAT(registry_->NotReady(), IsEmpty());
  EXPECT_EQ(view->roots, Trust().trust.roots[0].certificate);
  EXPECT_THAT(view->signers, SizeIs(2));
  EXPECT_THAT(view->crls, SizeIs(2));
  const tls::TrustBundle bundle = BundleOf(*view);
  EXPECT_EQ(bundle.sequence, static_cast<std::uint64_t>(view->sequence));
  EXPECT_EQ(view->sequence, Reader(*store_).FindHead()->head.document);
  EXPECT_THAT(bundle.bindings->clusters, SizeIs(2));
}

TEST_F(RegistryTest, HasARecordedCertificateOfItsOwn) {
  ASSERT_TRUE(Start().ok());
  const auto credentials = tls::Credentials::FromPem(*registry_->view()->server);
  ASSERT_TRUE(credentials.ok()) << credentials.status();
  EXPECT_EQ((*credentials)->id().text(), "spiffe://test.example/ca");
  const auto record = Reader(*store_).FindCertificate((*credentials)->serial());
  ASSERT_TRUE(record.ok() && *record) << record.status();
  EXPECT_EQ((*record)->subject, "spiffe://test.example/ca");
}

TEST_F(RegistryTest, RenewsItAtHalfOfItsTime) {
  std::atomic<std::chrono::seconds::rep> later = 0;
  options_.now = [&later] {
    return std::chrono::system_clock::now() - std::chrono::hours(13) +
           std::chrono::seconds(later.load());
  };
  ASSERT_TRUE(Start().ok());
  const ServerCredentials first = registry_->view()->server;
  const auto crls = registry_->view()->crls;
  later = 11 * 3600;
  std::this_thread::sleep_for(milliseconds(100));
  EXPECT_EQ(registry_->view()->server->chain, first->chain);
  later = 13 * 3600;
  const ViewPtr view = Await([&](const View& view) { return view.server->chain != first->chain; });
  EXPECT_NE(view->server->key, first->key);
  EXPECT_NE(view->crls, crls) << "half of their time is over, too";
}

TEST_F(RegistryTest, FollowsTheStore) {
  ASSERT_TRUE(Start().ok());
  const std::int64_t before = registry_->view()->sequence;
  AddCluster("west");
  ViewPtr view = Await([](const View& view) { return view.signers.contains("west"); });
  EXPECT_GT(view->sequence, before);
  EXPECT_GE(views_, 2);
  Revoke(Kind::kWorkload, "spiffe://test.example/cluster/east/ns/shop/sa/web");
  const std::int64_t after = view->sequence;
  view = Await([&](const View& view) { return view.sequence > after; });
  EXPECT_THAT(BundleOf(*view).revoked.ids,
              Contains("spiffe://test.example/cluster/east/ns/shop/sa/web"));
  EXPECT_EQ(view->sequence, Reader(*store_).FindHead()->head.revocation);
}

TEST_F(RegistryTest, ABadDocumentKeepsTheOldView) {
  ASSERT_TRUE(Start().ok());
  const TrustState good = Trust().trust;
  const ViewPtr before = registry_->view();
  PutText(kTrustDocument, absl::StrReplaceAll(*Encode(good), {{"active", "lively"}}));
  AwaitProblem("unknown 'state': 'lively'");
  EXPECT_THAT(registry_->NotReady(), Contains(HasSubstr("lively")));
  EXPECT_EQ(registry_->view()->bundle, before->bundle);
  Put(good);
  Await([&](const View& view) { return view.sequence > before->sequence; });
  for (int i = 0; i < 500 && !registry_->NotReady().empty(); ++i) {
    std::this_thread::sleep_for(milliseconds(5));
  }
  EXPECT_THAT(registry_->NotReady(), IsEmpty());
}

TEST_F(RegistryTest, AKeyThatIsNotThereStopsNothingElse) {
  const std::string key = directory_ / "keys/" + Trust().trust.SignerFor("east")->key;
  std::filesystem::rename(key, key + ".away");
  ASSERT_TRUE(Start().ok());
  EXPECT_THAT(registry_->Problems(), Contains(HasSubstr("of 'east'")));
  EXPECT_THAT(registry_->NotReady(), IsEmpty());
  EXPECT_FALSE(registry_->view()->signers.contains("east"));
  EXPECT_THAT(BundleOf(*registry_->view()).bindings->clusters, SizeIs(2));
  Revoke(Kind::kCluster, "west");
  Await([](const View& view) { return view.state.revoked.set.clusters.contains("west"); });
  std::filesystem::rename(key + ".away", key);
  AddCluster("north");
  Await([](const View& view) { return view.signers.contains("east"); });
  EXPECT_THAT(registry_->Problems(), IsEmpty());
}

TEST_F(RegistryTest, ReadsDirectoriesAgain) {
  options_.directories = {directory_ / "directory.yaml"};
  ASSERT_TRUE(Start().ok());
  EXPECT_THAT(registry_->Problems(), Contains(HasSubstr("directory.yaml")));
  WriteDirectory(kDirectory);
  ViewPtr view = Await([](const View& view) { return !view.registrations->empty(); });
  EXPECT_THAT(view->registrations->at("east/n1"),
              Contains("spiffe://test.example/cluster/east/ns/shop/sa/web"));
  WriteDirectory("trust_domain: other.example\n");
  AwaitProblem("is of trust domain 'other.example'");
  EXPECT_FALSE(registry_->view()->registrations->empty()) << "a bad file keeps what it said";
  WriteDirectory(
      absl::StrReplaceAll(kDirectory, {{"service_account: web", "service_account: db"}}));
  Await([](const View& view) {
    return view.registrations->at("east/n1").contains(
        "spiffe://test.example/cluster/east/ns/shop/sa/db");
  });
}

TEST_F(RegistryTest, SignsBelowTheActiveRoot) {
  ASSERT_TRUE(Start().ok());
  const ServerCredentials first = registry_->view()->server;
  const TrustRoot second = *MakeRoot(kDomain, "", keys_);
  const auto issuer = OpenRoot(second, keys_, kDomain);
  std::vector<TrustAuthority> authorities;
  for (const char* cluster : {"", "east"}) {
    authorities.push_back(
        MakeAuthority(**issuer, cluster, keys_, std::chrono::system_clock::now())->authority);
  }
  Put(*PrepareRoot(Trust().trust, second, authorities));
  const ViewPtr prepared =
      Await([](const View& view) { return view.state.trust.roots.size() == 2; });
  EXPECT_EQ(prepared->server->chain, first->chain);
  Put(*ActivateRoot(Trust().trust));
  const ViewPtr view = Await([&](const View& view) { return view.server->chain != first->chain; });
  EXPECT_EQ(view->signers.at("east")->chain(), view->state.trust.SignerFor("east")->chain);
  EXPECT_THAT(view->crls, SizeIs(4));
  EXPECT_TRUE(tls::Credentials::FromPem(*view->server).ok());
  tls::Credentials::Pem seen_by_who_missed_it = *view->server;
  seen_by_who_missed_it.bundle = prepared->bundle;
  const auto accepted = tls::Credentials::FromPem(seen_by_who_missed_it);
  EXPECT_TRUE(accepted.ok()) << accepted.status();
}

TEST_F(RegistryTest, NamesWhatIsMissing) {
  options_.trust_domain = "other.example";
  EXPECT_THAT(std::string(Start().message()), HasSubstr("of trust domain 'test.example'"));
  options_.trust_domain = kDomain;
  store_ = *SqliteStore::Open({.path = directory_ / "empty.db"});
  EXPECT_THAT(std::string(Start().message()), HasSubstr("tombolo-ca init"));
}

}  // namespace
}  // namespace tombolo::ca
