// SPDX-License-Identifier: Apache-2.0
#include <sys/stat.h>

#include <chrono>
#include <string>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "store/etcd_store.h"
#include "store/open.h"
#include "testing/etcd_cluster.h"
#include "testing/openssl_command.h"

namespace tombolo::ca {
namespace {

using testing::EtcdCluster;
using ::testing::HasSubstr;

// Certificates by the openssl command; an etcd that wants them when a test starts one.
class OpenStoreTest : public testing::OpensslCommandTest {
 protected:
  std::string Path(const std::string& name) const { return directory_ + "/" + name; }

  void NewAuthority(const std::string& name) const {
    Expect("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=" +
           name + " -keyout " + name + ".key -out " + name + ".pem");
  }
  void NewCertificate(const std::string& name, const std::string& names) const {
    Write(name + ".ext", "subjectAltName=" + names + "\n");
    Expect("req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=" + name +
           " -keyout " + name + ".key -out " + name + ".csr");
    Expect("x509 -req -days 1 -CA ca.pem -CAkey ca.key -CAcreateserial -in " + name +
           ".csr -extfile " + name + ".ext -out " + name + ".pem");
    ASSERT_EQ(chmod(Path(name + ".key").c_str(), 0600), 0);
  }
  void Expect(const std::string& arguments) const {
    const testing::ShellResult result = Openssl(arguments);
    ASSERT_EQ(result.status, 0) << result.output;
  }

  void StartEtcd() {
    NewAuthority("ca");
    NewAuthority("other");
    NewCertificate("server", "IP:127.0.0.1");
    NewCertificate("client", "DNS:client");
    etcd_ = EtcdCluster::Start(
        {.scheme = "https",
         .flags = {"--cert-file=" + Path("server.pem"), "--key-file=" + Path("server.key"),
                   "--trusted-ca-file=" + Path("ca.pem"), "--client-cert-auth=true"}});
  }

  StoreConfig Config() const {
    return {.etcd = StoreConfig::Etcd{.endpoints = etcd_->endpoints(),
                                      .ca = Path("ca.pem"),
                                      .certificate = Path("client.pem"),
                                      .key = Path("client.key")}};
  }

  // What becomes of a first question.
  static absl::Status Ask(const StoreConfig& config) {
    const auto store = OpenStore(config);
    return store.ok() ? (*store)->Revision().status() : store.status();
  }

  std::unique_ptr<EtcdCluster> etcd_;
};

TEST_F(OpenStoreTest, SpeaksTlsWithAClientCertificate) {
  TOMBOLO_SKIP_UNLESS_OK(EtcdCluster::Ready());
  ASSERT_NO_FATAL_FAILURE(StartEtcd());
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  absl::Status asked;
  while (!(asked = Ask(Config())).ok()) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline) << asked;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  const auto store = *OpenStore(Config());
  const std::string large(500'000, 'x');  // many records
  ASSERT_TRUE(store->Commit({.conditions = {{"a", 0}}, .puts = {{"a", large}}}).ok());
  EXPECT_EQ((*store->Get("a"))->value, large);

  StoreConfig bare = Config();
  bare.etcd->certificate = bare.etcd->key = "";
  EXPECT_TRUE(absl::IsUnavailable(Ask(bare))) << Ask(bare);
  EXPECT_THAT(std::string(Ask(bare).message()), HasSubstr("certificate"));

  StoreConfig distrusting = Config();
  distrusting.etcd->ca = Path("other.pem");
  EXPECT_TRUE(absl::IsUnavailable(Ask(distrusting)));
  EXPECT_THAT(std::string(Ask(distrusting).message()),
              HasSubstr("the server's certificate: unable to get local issuer certificate"));

  StoreConfig misnamed = Config();
  std::string& url = misnamed.etcd->endpoints[0];
  url.replace(url.find("127.0.0.1"), 9, "localhost");
  EXPECT_TRUE(absl::IsUnavailable(Ask(misnamed)));
  EXPECT_THAT(std::string(Ask(misnamed).message()), HasSubstr("hostname mismatch"));
}

TEST_F(OpenStoreTest, RefusesHalvesOfAConfiguration) {
  const auto refused = [](const StoreConfig& config) {
    return absl::IsInvalidArgument(OpenStore(config).status());
  };
  const StoreConfig::Etcd etcd{.endpoints = {"http://127.0.0.1:1"}};
  EXPECT_TRUE(refused({}));
  EXPECT_TRUE(refused({.sqlite = Path("store.db"), .etcd = etcd}));
  StoreConfig::Etcd half = etcd;
  half.certificate = Path("client.pem");
  EXPECT_TRUE(refused({.etcd = half}));
  half.key = Path("client.key");
  EXPECT_TRUE(refused({.etcd = half})) << "no ca";
  EXPECT_TRUE(OpenStore({.etcd = etcd}).ok());
  EXPECT_TRUE(OpenStore({.sqlite = Path("store.db")}).ok());
}

TEST_F(OpenStoreTest, RefusesAnEtcdThatCannotBeOne) {
  EXPECT_FALSE(EtcdStore::Open({.endpoints = {}}).ok());
  EXPECT_FALSE(EtcdStore::Open({.endpoints = {"https://a"}}).ok()) << "no CA";
  EXPECT_FALSE(EtcdStore::Open({.endpoints = {"http://[::1]"}, .prefix = "a b"}).ok());
}

TEST_F(OpenStoreTest, RefusesAKeyThatOthersRead) {
  NewAuthority("ca");
  NewCertificate("client", "DNS:client");
  NewCertificate("second", "DNS:client");
  StoreConfig config{.etcd = StoreConfig::Etcd{.endpoints = {"https://127.0.0.1:1"},
                                               .ca = Path("ca.pem"),
                                               .certificate = Path("client.pem"),
                                               .key = Path("client.key")}};
  EXPECT_TRUE(OpenStore(config).ok());
  ASSERT_EQ(chmod(Path("client.key").c_str(), 0644), 0);
  EXPECT_TRUE(absl::IsPermissionDenied(OpenStore(config).status()));
  config.etcd->key = Path("second.key");
  EXPECT_THAT(std::string(OpenStore(config).status().message()), HasSubstr("not the key of"));
  config.etcd->ca = Path("none.pem");
  EXPECT_TRUE(absl::IsNotFound(OpenStore(config).status()));
}

}  // namespace
}  // namespace tombolo::ca
