// SPDX-License-Identifier: Apache-2.0
#include "serve_case.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "net/socket.h"
#include "testing/skip.h"

namespace tombolo::ca {
namespace {

// A port that nobody uses now.
std::uint16_t FreePort() {
  const auto fd = net::Listen({net::IpAddress::Loopback(/*ipv6=*/false), 0}, 1);
  return net::LocalAddress(fd->get())->port;
}

}  // namespace

ServeCase::ServeCase(int replicas) {
  for (int i = 0; i < replicas; ++i) {
    replicas_.push_back({.config = i == 0 ? "ca.yaml" : absl::StrCat("ca", i, ".yaml"),
                         .port = FreePort(),
                         .admin = FreePort()});
  }
}

void ServeCase::SetUp() {
  if (testing::Shell("curl --version && openssl version").status != 0) {
    TOMBOLO_SKIP_WITHOUT("the curl and openssl commands");
  }
}

void ServeCase::TearDown() {
  for (int i = 0; i < static_cast<int>(replicas_.size()); ++i) Stop(i);
}

void ServeCase::SetUpStore(const std::string& store) {
  for (const Replica& replica : replicas_) {
    std::ofstream(directory_ / replica.config)
        << "trust_domain: test.example\nstore: " << store << "\nkeys: keys\n"
        << "serve: {listen: \"127.0.0.1:" << replica.port << "\", names: [localhost]}\n"
        << "admin: {listen: \"127.0.0.1:" << replica.admin << "\"}\n"
        << "directories: [directory.yaml]\nttl: 1h\nlog: {level: warning}\n";
  }
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
  NewKey("key.pem");
}

void ServeCase::NewKey(const std::string& name) const {
  Run("openssl ecparam -name prime256v1 -genkey -noout -out " + name);
}

void ServeCase::Begin(int replica) {
  const std::string directory = directory_ / ".";
  Replica& started = replicas_[static_cast<std::size_t>(replica)];
  started.process = fork();
  if (started.process == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (chdir(directory.c_str()) != 0) _exit(1);
    execl(TOMBOLO_CA, TOMBOLO_CA, "serve", "--config", started.config.c_str(), nullptr);
    _exit(1);
  }
  ASSERT_GT(started.process, 0);
}

void ServeCase::Start(int replica) {
  ASSERT_NO_FATAL_FAILURE(Begin(replica));
  const std::string question =
      absl::StrCat("curl -sf http://127.0.0.1:", at(replica).admin, "/readyz");
  for (int i = 0; i < 200; ++i) {
    if (Run(question).status == 0) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  ADD_FAILURE() << "the server does not become ready";
}

int ServeCase::Stop(int replica) {
  if (at(replica).process > 0) kill(at(replica).process, SIGTERM);
  return Wait(replica);
}

void ServeCase::Kill(int replica) {
  ASSERT_GT(at(replica).process, 0);
  kill(at(replica).process, SIGKILL);
  Wait(replica);
}

int ServeCase::Wait(int replica) {
  const pid_t process = std::exchange(replicas_[static_cast<std::size_t>(replica)].process, 0);
  int status = -1;
  if (process > 0) waitpid(process, &status, 0);
  return status;
}

testing::ShellResult ServeCase::Run(const std::string& command) const {
  return testing::Shell("cd " + (directory_ / ".") + " && " + command);
}

std::string ServeCase::Good(const std::string& arguments) const {
  const testing::ShellResult result = Run(TOMBOLO_CA " " + arguments + " --config ca.yaml");
  EXPECT_EQ(result.status, 0) << arguments << ": " << result.output;
  return result.output.substr(0, result.output.find_last_not_of('\n') + 1);
}

std::string ServeCase::Curl(const std::string& path, const std::string& more, int replica) const {
  return Run(absl::StrCat("curl -s -m 20 --cacert roots.pem -w '\\n%{http_code}' ", more,
                          " https://localhost:", at(replica).port, path))
      .output;
}

void ServeCase::FetchRoots() const {
  const testing::ShellResult fetched =
      Run(absl::StrCat("curl -sk https://localhost:", at(0).port,
                       "/.well-known/est/cacerts | openssl base64 -d | openssl pkcs7 -inform DER "
                       "-print_certs -out roots.pem"));
  EXPECT_EQ(fetched.status, 0) << fetched.output;
}

std::string ServeCase::Metrics(int replica) const {
  return Run(absl::StrCat("curl -s http://127.0.0.1:", at(replica).admin, "/metrics")).output;
}

std::string ServeCase::Enrol(const std::string& id, const std::string& out,
                             const std::string& credential, const std::string& operation,
                             int replica) const {
  Run("openssl req -new -key key.pem -subj /CN=x -addext 'subjectAltName=URI:" + id +
      "' -outform DER | openssl base64 > csr.b64");
  const std::string answer = Curl(
      "/.well-known/est/" + operation,
      "-o answer.b64 -H 'Content-Type: application/pkcs10' --data-binary @csr.b64 " + credential,
      replica);
  // PKCS#7 keeps a set: the leaf comes first only by chance.
  Run("openssl base64 -d -in answer.b64 | openssl pkcs7 -inform DER -print_certs -out all.pem; "
      "awk '/BEGIN/{n++} n==1' all.pem > one.pem; awk '/BEGIN/{n++} n==2' all.pem > two.pem; "
      "if openssl x509 -noout -text -in one.pem | grep -q CA:TRUE; "
      "then cat two.pem one.pem; else cat one.pem two.pem; fi > " +
      out + ".pem");
  return answer;
}

}  // namespace tombolo::ca
