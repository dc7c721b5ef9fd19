// SPDX-License-Identifier: Apache-2.0
// tombolo-ca serve as its clients see it: curl, openssl, and commands beside the running server.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <string>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_split.h"
#include "net/socket.h"
#include "server/raw_client.h"
#include "temporary_directory.h"
#include "testing/shell.h"
#include "testing/skip.h"
#include "tls/trust_bundle.h"

namespace tombolo::ca {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using Result = testing::ShellResult;
using testing::Shell;
using testing::TemporaryDirectory;

const std::string kNode = "spiffe://test.example/cluster/east/node/n1";

// A port that nobody uses now.
std::string FreePort() {
  const auto fd = net::Listen({net::IpAddress::Loopback(/*ipv6=*/false), 0}, 1);
  return std::to_string(net::LocalAddress(fd->get())->port);
}

// Of a bundle document.
std::size_t RootsIn(const std::string& bundle) {
  const std::vector<std::string> parts = absl::StrSplit(bundle, "x509-svid");
  return parts.size() - 1;
}

class ServeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (Shell("curl --version && openssl version").status != 0) {
      TOMBOLO_SKIP_WITHOUT("the curl and openssl commands");
    }
    std::ofstream(directory_ / "ca.yaml")
        << "trust_domain: test.example\nstore: {sqlite: ca.db}\nkeys: keys\n"
        << "serve: {listen: \"127.0.0.1:" << port_ << "\", names: [localhost]}\n"
        << "admin: {listen: \"127.0.0.1:" << admin_ << "\"}\n"
        << "directories: [directory.yaml]\nttl: 1h\n";
    std::ofstream(directory_ / "directory.yaml") << R"(trust_domain: test.example
clusters:
  - name: east
    nodes:
      - {name: n1, tunnel: "10.0.0.1:15008"}
workloads:
  - {name: web, cluster: east, node: n1, namespace: shop, service_account: web}
)";
    Good("init");
    Good("cluster add east");
    Run("openssl ecparam -name prime256v1 -genkey -noout -out key.pem");
  }
  void TearDown() override { Stop(); }

  void Start() {
    server_ = fork();
    if (server_ == 0) {
      if (chdir((directory_ / ".").c_str()) != 0) _exit(1);
      execl(TOMBOLO_CA, TOMBOLO_CA, "serve", "--config", "ca.yaml", nullptr);
      _exit(1);
    }
    for (int i = 0; i < 200; ++i) {
      if (Run("curl -sf http://127.0.0.1:" + admin_ + "/readyz").status == 0) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    ADD_FAILURE() << "the server does not become ready";
  }
  // The server's exit status.
  int Stop() {
    if (server_ <= 0) return -1;
    kill(server_, SIGTERM);
    int status = -1;
    waitpid(server_, &status, 0);
    server_ = 0;
    return status;
  }

  Result Run(const std::string& command) const {
    return Shell("cd " + (directory_ / ".") + " && " + command);
  }
  std::string Good(const std::string& arguments) const {
    const Result result = Run(TOMBOLO_CA " " + arguments + " --config ca.yaml");
    EXPECT_EQ(result.status, 0) << arguments << ": " << result.output;
    return result.output.substr(0, result.output.find_last_not_of('\n') + 1);
  }
  // What is answered, and after it the status in a line of its own.
  std::string Curl(const std::string& path, const std::string& more = "") const {
    return Run("curl -s -m 20 --cacert roots.pem -w '\\n%{http_code}' " + more +
               " https://localhost:" + port_ + path)
        .output;
  }
  void FetchRoots() const {
    const Result fetched =
        Run("curl -sk https://localhost:" + port_ +
            "/.well-known/est/cacerts | openssl base64 -d | openssl pkcs7 -inform DER "
            "-print_certs -out roots.pem");
    EXPECT_EQ(fetched.status, 0) << fetched.output;
  }
  // Asks for `id`, and writes what it gets to <out>.pem, leaf and intermediate.
  std::string Enrol(const std::string& id, const std::string& out, const std::string& credential,
                    const std::string& operation = "simpleenroll") const {
    Run("openssl req -new -key key.pem -subj /CN=x -addext 'subjectAltName=URI:" + id +
        "' -outform DER | openssl base64 > csr.b64");
    const std::string answer = Curl(
        "/.well-known/est/" + operation,
        "-o answer.b64 -H 'Content-Type: application/pkcs10' --data-binary @csr.b64 " + credential);
    // PKCS#7 keeps a set: the leaf comes first only by chance.
    Run("openssl base64 -d -in answer.b64 | openssl pkcs7 -inform DER -print_certs -out all.pem; "
        "awk '/BEGIN/{n++} n==1' all.pem > one.pem; awk '/BEGIN/{n++} n==2' all.pem > two.pem; "
        "if openssl x509 -noout -text -in one.pem | grep -q CA:TRUE; "
        "then cat two.pem one.pem; else cat one.pem two.pem; fi > " +
        out + ".pem");
    return answer;
  }

  TemporaryDirectory directory_;
  const std::string port_ = FreePort(), admin_ = FreePort();
  pid_t server_ = 0;
};

TEST_F(ServeTest, IssuesWhatOpensslVerifies) {
  Start();
  FetchRoots();
  const std::string token = Good("token add " + kNode);
  EXPECT_THAT(Enrol(kNode, "node", "-u any:" + token), HasSubstr("\n200"));
  const std::string svid = "--cert node.pem --key key.pem";
  EXPECT_THAT(Enrol(kNode, "again", svid, "simplereenroll"), HasSubstr("\n200"));
  EXPECT_THAT(Enrol("spiffe://test.example/cluster/east/ns/shop/sa/web", "web", svid),
              HasSubstr("\n200"));
  for (const char* name : {"node", "again", "web"}) {
    const Result verified =
        Run("openssl verify -x509_strict -purpose sslserver -CAfile roots.pem -untrusted " +
            std::string(name) + ".pem " + name + ".pem");
    EXPECT_EQ(verified.status, 0) << verified.output;
  }
  EXPECT_THAT(Enrol("spiffe://test.example/cluster/east/ns/shop/sa/db", "db", svid),
              HasSubstr("\n403"));
  EXPECT_THAT(Enrol(kNode, "twice", "-H 'Authorization: Bearer " + token + "'"),
              HasSubstr("\n401"));
  EXPECT_THAT(Enrol(kNode, "nobody", ""), HasSubstr("\n401"));
  EXPECT_THAT(Run("curl -s http://127.0.0.1:" + admin_ + "/metrics").output,
              HasSubstr("tombolo_ca_certificates_total{result=\"issued\"} 3"));
  EXPECT_EQ(Stop(), 0);
  EXPECT_THAT(Good("audit verify"), StartsWith("intact: "));
}

TEST_F(ServeTest, TellsWhoeverWaitsOfARevocation) {
  Start();
  FetchRoots();
  ASSERT_THAT(Enrol(kNode, "node", "-u any:" + Good("token add " + kNode)), HasSubstr("\n200"));
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
  Good("revoke workload spiffe://test.example/cluster/east/ns/shop/sa/web --reason lost");
  waiting.join();
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(8));
  EXPECT_THAT(second, HasSubstr("\n200"));
  EXPECT_THAT(second, HasSubstr("\"ids\":[\"spiffe://test.example/cluster/east/ns/shop/sa/web\"]"));
  EXPECT_THAT(Enrol("spiffe://test.example/cluster/east/ns/shop/sa/web", "web", svid),
              HasSubstr("\n403"));
  Stop();
  EXPECT_THAT(Good("root prepare"), HasSubstr("next: activate"));
  EXPECT_THAT(Run(TOMBOLO_CA " root activate --config ca.yaml").output, HasSubstr("east/n1"))
      << "it has not seen the bundle with both roots";
}

TEST_F(ServeTest, WhoeverMissesAnActivationTrustsTheServerAfterwards) {
  const auto serial = [this] {
    return Run("openssl s_client -connect 127.0.0.1:" + port_ +
               " </dev/null 2>/dev/null | openssl x509 -noout -serial")
        .output;
  };
  Start();
  Good("root prepare");
  std::string held;
  for (int i = 0; i < 200 && RootsIn(held) != 2; ++i) {
    held = Run("curl -sk https://localhost:" + port_ + "/.well-known/spiffe/bundle").output;
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
  https::RawClient agent(*net::SocketAddress::Parse("127.0.0.1:" + port_), *context);
  EXPECT_TRUE(agent.connected()) << agent.error();
  EXPECT_THAT(agent.Get("/.well-known/spiffe/bundle"), StartsWith("HTTP/1.1 200 "));
}

TEST_F(ServeTest, ServesRevocationLists) {
  Start();
  FetchRoots();
  ASSERT_THAT(Enrol(kNode, "node", "-u any:" + Good("token add " + kNode)), HasSubstr("\n200"));
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
  EXPECT_THAT(Enrol(kNode, "again", "--cert node.pem --key key.pem", "simplereenroll"),
              Not(HasSubstr("\n200")));
}

TEST_F(ServeTest, SaysWhyItDoesNotStart) {
  std::filesystem::remove_all(directory_ / "keys");
  const Result result = Run(TOMBOLO_CA " serve --config ca.yaml");
  EXPECT_NE(result.status, 0);
  EXPECT_THAT(result.output, HasSubstr("tombolo-ca: authority"));
  EXPECT_THAT(result.output, HasSubstr("No such file"));
}

}  // namespace
}  // namespace tombolo::ca
