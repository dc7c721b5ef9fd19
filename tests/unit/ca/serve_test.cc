// SPDX-License-Identifier: Apache-2.0
// tombolo-ca serve as its clients see it.
#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_split.h"
#include "serve_case.h"
#include "server/raw_client.h"
#include "testing/etcd_cluster.h"
#include "testing/skip.h"
#include "tls/trust_bundle.h"

namespace tombolo::ca {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using Result = testing::ShellResult;

// Of a bundle document.
std::size_t RootsIn(const std::string& bundle) {
  const std::vector<std::string> parts = absl::StrSplit(bundle, "x509-svid");
  return parts.size() - 1;
}

class ServeTest : public ServeCase {
 protected:
  void SetUp() override {
    ServeCase::SetUp();
    if (!IsSkipped() && !HasFatalFailure()) SetUpStore("{sqlite: ca.db}");
  }
};

TEST_F(ServeTest, IssuesWhatOpensslVerifies) {
  Start();
  FetchRoots();
  const std::string token = Good("token add " + node_);
  EXPECT_THAT(Enrol(node_, "node", "-u any:" + token), HasSubstr("\n200"));
  const std::string svid = "--cert node.pem --key key.pem";
  EXPECT_THAT(Enrol(node_, "again", svid, "simplereenroll"), HasSubstr("\n200"));
  EXPECT_THAT(Enrol(web_, "web", svid), HasSubstr("\n200"));
  for (const char* name : {"node", "again", "web"}) {
    const Result verified =
        Run("openssl verify -x509_strict -purpose sslserver -CAfile roots.pem -untrusted " +
            std::string(name) + ".pem " + name + ".pem");
    EXPECT_EQ(verified.status, 0) << verified.output;
  }
  EXPECT_THAT(Enrol("spiffe://test.example/cluster/east/ns/shop/sa/db", "db", svid),
              HasSubstr("\n403"));
  EXPECT_THAT(Enrol(node_, "same", "-u any:" + token), HasSubstr("\n200")) << "for the same key";
  NewKey("key.pem");
  EXPECT_THAT(Enrol(node_, "twice", "-H 'Authorization: Bearer " + token + "'"),
              HasSubstr("\n401"));
  EXPECT_THAT(Enrol(node_, "nobody", ""), HasSubstr("\n401"));
  EXPECT_THAT(Metrics(), HasSubstr("tombolo_ca_certificates_total{result=\"issued\"} 4"));
  EXPECT_EQ(Stop(), 0);
  EXPECT_THAT(Good("audit verify"), StartsWith("intact: "));
}

TEST_F(ServeTest, TellsWhoeverWaitsOfARevocation) {
  Start();
  FetchRoots();
  ASSERT_THAT(Enrol(node_, "node", "-u any:" + Good("token add " + node_)), HasSubstr("\n200"));
  const std::string svid = "--cert node.pem --key key.pem";
  const std::string first = Curl("/v1/trust", svid + " -D headers");
  ASSERT_THAT(first, HasSubstr("\n200"));
  const std::string tag = Run("grep -i '^etag:' headers | cut -d' ' -f2 | tr -d '\\r\\n'").output;
  EXPECT_THAT(tag, StartsWith("\""));
  std::string second;
  std::thread waiting([&] {
    second = Curl("/v1/trust", svid + " -H 'If-None-Match: " + tag + "' -H 'Prefer: wait=15'");
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  const auto begun = std::chrono::steady_clock::now();
  Good("revoke workload " + web_ + " --reason lost");
  waiting.join();
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(8));
  EXPECT_THAT(second, HasSubstr("\n200"));
  EXPECT_THAT(second, HasSubstr("\"ids\":[\"" + web_ + "\"]"));
  EXPECT_THAT(Enrol(web_, "web", svid), HasSubstr("\n403"));
  Stop();
  EXPECT_THAT(Good("root prepare"), HasSubstr("next: activate"));
  EXPECT_THAT(Run(TOMBOLO_CA " root activate --config ca.yaml").output, HasSubstr("east/n1"))
      << "it has not seen the bundle with both roots";
}

TEST_F(ServeTest, WhoeverMissesAnActivationTrustsTheServerAfterwards) {
  const auto serial = [this] {
    return Run("openssl s_client -connect 127.0.0.1:" + std::to_string(port(0)) +
               " </dev/null 2>/dev/null | openssl x509 -noout -serial")
        .output;
  };
  Start();
  Good("root prepare");
  std::string held;
  for (int i = 0; i < 200 && RootsIn(held) != 2; ++i) {
    held =
        Run("curl -sk https://localhost:" + std::to_string(port(0)) + "/.well-known/spiffe/bundle")
            .output;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  const std::string before = serial();
  Good("root activate");
  for (int i = 0; i < 200 && serial() == before; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  EXPECT_NE(serial(), before);
  // An agent that has been away since before the activation: by the bundle of then, with whose
  // keys are whose.
  const auto trust = tls::ParseTrustBundle(held, "test.example", "held");
  ASSERT_TRUE(trust.ok()) << trust.status();
  ASSERT_TRUE(trust->bindings);
  const auto context =
      tls::HttpsContext::ForClient(*trust, *SpiffeId::ForAuthority("test.example"), std::nullopt);
  ASSERT_TRUE(context.ok()) << context.status();
  https::RawClient agent(*net::SocketAddress::Parse("127.0.0.1:" + std::to_string(port(0))),
                         *context);
  EXPECT_TRUE(agent.connected()) << agent.error();
  EXPECT_THAT(agent.Get("/.well-known/spiffe/bundle"), StartsWith("HTTP/1.1 200 "));
}

TEST_F(ServeTest, ServesRevocationLists) {
  Start();
  FetchRoots();
  ASSERT_THAT(Enrol(node_, "node", "-u any:" + Good("token add " + node_)), HasSubstr("\n200"));
  Good("revoke node east/n1 --reason stolen");
  const std::string key = Run("awk '/BEGIN/{n++} n==2' node.pem | openssl x509 -pubkey -noout | "
                              "openssl pkey -pubin -outform DER | sha256sum | cut -d' ' -f1 | "
                              "tr -d '\\n'")
                              .output;
  std::string text;
  for (int i = 0; i < 100 && text.find("Serial Number") == std::string::npos; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    EXPECT_THAT(Curl("/crl/" + key + ".crl", "-o list.crl"), HasSubstr("\n200"));
    text = Run("openssl crl -inform DER -in list.crl -noout -text").output;
  }
  const std::string serial =
      Run("openssl x509 -noout -serial -in node.pem | cut -d= -f2 | tr -d '\\n'").output;
  EXPECT_THAT(text, HasSubstr(serial));
  EXPECT_THAT(Enrol(node_, "again", "--cert node.pem --key key.pem", "simplereenroll"),
              Not(HasSubstr("\n200")));
}

TEST_F(ServeTest, SaysWhyItDoesNotStart) {
  std::filesystem::remove_all(directory_ / "keys");
  const Result result = Run(TOMBOLO_CA " serve --config ca.yaml");
  EXPECT_NE(result.status, 0);
  EXPECT_THAT(result.output, HasSubstr("tombolo-ca: authority"));
  EXPECT_THAT(result.output, HasSubstr("No such file"));
}

// Two replicas on one etcd.
class ServeOnEtcdTest : public ServeCase {
 protected:
  ServeOnEtcdTest() : ServeCase(2) {}
  void SetUp() override {
    TOMBOLO_SKIP_UNLESS_OK(testing::EtcdCluster::Ready());
    ServeCase::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    etcd_ = testing::EtcdCluster::Start({});
    ASSERT_TRUE(etcd_->WaitUntilReady().ok());
    SetUpStore("{etcd: {endpoints: [\"" + etcd_->endpoint(0) + "\"], prefix: /here/}}");
  }

  std::unique_ptr<testing::EtcdCluster> etcd_;
};

TEST_F(ServeOnEtcdTest, AnyReplicaIsTheAuthority) {
  Start(0);
  Start(1);
  FetchRoots();
  const std::string token = Good("token add " + node_);
  EXPECT_THAT(Enrol(node_, "node", "-u any:" + token, "simpleenroll", 1), HasSubstr("\n200"));
  Run("cp key.pem node.key");
  NewKey("key.pem");
  EXPECT_THAT(Enrol(node_, "twice", "-u any:" + token, "simpleenroll", 0), HasSubstr("\n401"))
      << "spent at the other one";
  const std::string svid = "--cert node.pem --key node.key";
  EXPECT_THAT(Enrol(web_, "web", svid, "simpleenroll", 0), HasSubstr("\n200"));
  Kill(0);
  EXPECT_THAT(Enrol(web_, "web", svid, "simpleenroll", 1), HasSubstr("\n200"));
  Good("revoke workload " + web_ + " --reason lost");
  std::string answer;
  for (int i = 0; i < 100 && answer.find("\n403") == std::string::npos; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    answer = Enrol(web_, "web", svid, "simpleenroll", 1);
  }
  EXPECT_THAT(answer, HasSubstr("\n403"));
  EXPECT_EQ(Stop(1), 0);
  EXPECT_THAT(Good("list"), HasSubstr(web_));
  EXPECT_THAT(Good("audit verify"), StartsWith("intact: "));
}

}  // namespace
}  // namespace tombolo::ca
