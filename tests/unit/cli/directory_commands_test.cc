// SPDX-License-Identifier: Apache-2.0
// The commands that administer the directory, with a real etcd.
#include <sys/stat.h>

#include <chrono>
#include <fstream>
#include <memory>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "etcd/settings.h"
#include "testing/etcd_cluster.h"
#include "testing/openssl_command.h"
#include "testing/shell.h"
#include "testing/skip.h"
#include "testing/temporary_directory.h"

namespace tombolo::cli {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using testing::EtcdCluster;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::Shell;
using testing::ShellResult;

class DirectoryCommandsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    TOMBOLO_SKIP_UNLESS_OK(EtcdCluster::Ready());
    etcd_ = EtcdCluster::Start({.flags = {"--bcrypt-cost=4"}});
    const absl::Status ready = etcd_->WaitUntilReady();
    ASSERT_TRUE(ready.ok()) << ready;
  }

  std::string Path(const std::string& name) const { return directory_ / name; }
  // Options of `command` come instead of those that all have.
  ShellResult Tombolo(const std::string& command) const {
    std::string line = absl::StrCat(TOMBOLO_PROGRAM " ", command, " --password ", Path("root"));
    if (!absl::StrContains(command, "--prefix")) absl::StrAppend(&line, " --prefix /d/");
    if (!absl::StrContains(command, "--endpoints")) {
      absl::StrAppend(&line, " --endpoints ", etcd_->endpoint(0));
    }
    return Shell(line);
  }
  std::string Expect(const std::string& command) const {
    const ShellResult result = Tombolo(command);
    EXPECT_EQ(result.status, 0) << command << ": " << result.output;
    return result.output;
  }
  std::string Refused(const std::string& command) const {
    const ShellResult result = Tombolo(command);
    EXPECT_EQ(result.status, 1) << command << ": " << result.output;
    return result.output;
  }
  void Join(const std::string& name) const {
    const char* const prefixes = name == "west" ? "203.0.113.0/24,2001:db8::/32" : "192.0.2.0/24";
    Expect(absl::StrCat("cluster join ", name, " --gateways ", prefixes, " --credentials ",
                        Path(name)));
  }

  std::unique_ptr<etcd::Client> As(const std::string& user, const std::string& file) const {
    auto options =
        etcd::Load({.endpoints = etcd_->endpoints(), .user = user, .password_file = Path(file)});
    EXPECT_TRUE(options.ok()) << options.status();
    options->known_key = "/d/";
    return std::make_unique<etcd::Client>(*std::move(options));
  }
  std::string Value(const std::string& key) const {
    const auto answer = As("root", "root")->Range({.key = key});
    if (!answer.ok()) return std::string(answer.status().message());
    return answer->entries.empty() ? "(none)" : answer->entries[0].value;
  }
  static absl::Status Write(etcd::Client& client, const std::string& key) {
    return client.Commit({.then = {etcd::Operation::Put(key, "{}")}}).status();
  }

  std::unique_ptr<EtcdCluster> etcd_;
  testing::TemporaryDirectory directory_;
};

TEST_F(DirectoryCommandsTest, InitIsDoneOnce) {
  const std::string first = Expect("directory init");
  EXPECT_THAT(first, HasSubstr("user root has the password in " + Path("root")));
  EXPECT_THAT(first, HasSubstr("authentication is on\n"));
  EXPECT_THAT(first, HasSubstr("role tombolo-admin writes /d/"));
  EXPECT_THAT(first, HasSubstr("no member takes somebody without a password for a user"));
  EXPECT_THAT(first, HasSubstr("--client-cert-auth")) << "what is left to do by hand";
  struct stat info {};
  ASSERT_EQ(stat(Path("root").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600);
  EXPECT_THAT(Expect("directory init --admin-password " + Path("admin")),
              AllOf(HasSubstr("authentication is on already"),
                    HasSubstr("user tombolo-admin has that role")));
  const auto admin = As("tombolo-admin", "admin");
  EXPECT_TRUE(Write(*admin, "/d/admin/namespaces/x").ok());
  EXPECT_TRUE(absl::IsPermissionDenied(Write(*admin, "/e")));
  std::ofstream(Path("root")) << "another one\n";
  EXPECT_THAT(Refused("directory init"),
              HasSubstr("user 'root': etcdserver: authentication failed"));
}

TEST_F(DirectoryCommandsTest, AClusterThatHasJoinedWritesItsOwnKeys) {
  Expect("directory init");
  Join("west");
  Join("east");
  EXPECT_EQ(Value("/d/admin/clusters/west"),
            R"({"gateways":["203.0.113.0/24","2001:db8::/32"],"draining":false})");
  const auto west = As("tombolo-cluster-west", "west");
  EXPECT_TRUE(Write(*west, "/d/clusters/west/cluster").ok());
  EXPECT_TRUE(west->Range({.key = "/d/", .end = "/d0"}).ok());
  for (const char* key : {"/d/clusters/east/cluster", "/d/clusters/west0/cluster",
                          "/d/admin/clusters/west", "/d/admin/namespaces/shop", "/e"}) {
    EXPECT_TRUE(absl::IsPermissionDenied(Write(*west, key))) << key;
  }
  // Again, with other gateways and the same credentials.
  Expect("cluster drain west");
  Expect("cluster join west --gateways 198.51.100.0/24 --credentials " + Path("west"));
  EXPECT_EQ(Value("/d/admin/clusters/west"), R"({"gateways":["198.51.100.0/24"],"draining":true})");
  EXPECT_TRUE(Write(*As("tombolo-cluster-west", "west"), "/d/clusters/west/cluster").ok());
}

TEST_F(DirectoryCommandsTest, NoTwoClustersHaveTheSameAddresses) {
  Expect("directory init");
  Join("west");
  for (const char* prefix : {"203.0.113.0/24", "203.0.113.128/25", "203.0.0.0/16"}) {
    EXPECT_THAT(Refused(absl::StrCat("cluster join east --gateways 192.0.2.0/24,", prefix,
                                     " --credentials ", Path("east"))),
                HasSubstr(absl::StrCat("--gateways: '", prefix,
                                       "' overlaps with '203.0.113.0/24' of cluster 'west'")));
  }
  EXPECT_EQ(Value("/d/admin/clusters/east"), "(none)");
  Expect("cluster join east --gateways 203.0.112.0/24 --credentials " + Path("east"));
  EXPECT_THAT(Expect("cluster join west --gateways 203.0.113.0/24 --credentials " + Path("west")),
              Not(HasSubstr("upgrade")))
      << "its own are not another's";
}

// As an older version allowed it, or somebody without these commands wrote it.
TEST_F(DirectoryCommandsTest, AMemberKeepsRangesThatOverlap) {
  Expect("directory init");
  const auto root = As("root", "root");
  const auto write = [&](const std::string& cluster, const std::string& grant) {
    const auto put = etcd::Operation::Put("/d/admin/clusters/" + cluster, grant);
    ASSERT_TRUE(root->Commit({.then = {put}}).ok());
  };
  const auto join = [&](const std::string& gateways) {
    return absl::StrCat("cluster join east --gateways ", gateways, " --credentials ", Path("east"));
  };
  write("west", R"({"gateways":["203.0.0.0/16"],"draining":false})");
  write("east", R"({"gateways":["203.0.113.0/24"],"draining":false})");
  Expect(join("203.0.113.0/24,192.0.2.0/24"));
  EXPECT_THAT(Refused(join("203.0.113.0/24,203.0.114.0/24")),
              HasSubstr("--gateways: '203.0.114.0/24' overlaps with '203.0.0.0/16'"));
  EXPECT_EQ(Value("/d/admin/clusters/east"),
            R"({"gateways":["203.0.113.0/24","192.0.2.0/24"],"draining":false})");

  write("east", "{");
  EXPECT_THAT(Refused(join("203.0.113.0/24")), HasSubstr("overlaps"))
      << "what it had, nobody knows";
  Expect(join("192.0.2.0/24"));
  write("west", R"({"gateways":["203.0.0.0/16"],"from_the_future":1})");
  EXPECT_THAT(Refused(join("198.51.100.0/24")),
              AllOf(HasSubstr("admin/clusters/west"), HasSubstr("'west' has cannot be read")));
  EXPECT_THAT(Value("/d/admin/clusters/east"), HasSubstr("192.0.2.0/24"));
}

TEST_F(DirectoryCommandsTest, ADrainMayHaveADeadline) {
  Expect("directory init");
  Join("west");
  EXPECT_THAT(Expect("cluster drain west --deadline 60s"),
              ContainsRegex("^cluster west is draining\nconnections that still go there at "
                            "2[0-9-]+T[0-9:]+Z are ended\nagents that do not know 'deadline' "
                            "leave the cluster out and reset its connections: upgrade them "
                            "first\n$"));
  const std::string record = Value("/d/admin/clusters/west");
  EXPECT_THAT(record, ContainsRegex(R"("draining":true,"deadline":"2[0-9-]+T[0-9:]+Z"\})"));
  const auto listed = [&] { return Expect("cluster list --output json"); };
  EXPECT_THAT(listed(), ContainsRegex(R"("state":"draining",.*"deadline":"2)"));
  Expect("cluster join west --gateways 203.0.113.0/24 --credentials " + Path("west"));
  EXPECT_THAT(Value("/d/admin/clusters/west"), HasSubstr("deadline")) << "it drains as before";
  Expect("cluster drain west");
  EXPECT_THAT(listed(), Not(HasSubstr("deadline"))) << "what was said last counts";
  Expect("cluster drain west --deadline 24h");
  Expect("cluster undrain west");
  EXPECT_THAT(listed(), AllOf(HasSubstr(R"("name":"west","state":"away","alive":false,)"),
                              HasSubstr(R"("gateway_prefixes":["203.0.113.0/24"])"),
                              Not(HasSubstr("deadline"))));
  for (const char* wrong : {"0s", "soon", "25h"}) {
    EXPECT_THAT(Refused(absl::StrCat("cluster drain west --deadline ", wrong)),
                HasSubstr(absl::StrCat("--deadline: '", wrong, "'")));
  }
}

TEST_F(DirectoryCommandsTest, AClusterMayBeReachedViaOthers) {
  Expect("directory init");
  EXPECT_THAT(Expect("cluster join west --via east,north --credentials " + Path("west")),
              AllOf(HasSubstr("its gateways may be linked to east, north"),
                    HasSubstr("agents that do not know 'via' leave the cluster out")));
  EXPECT_EQ(Value("/d/admin/clusters/west"),
            R"({"gateways":[],"draining":false,"via":["east","north"]})");
  EXPECT_THAT(Expect("cluster list"), HasSubstr("via east,via north"));
  EXPECT_THAT(Refused("cluster join west --via west --credentials " + Path("west")),
              HasSubstr("--via: 'west' is no other cluster"));
  EXPECT_THAT(Refused("cluster join west --via West --credentials " + Path("west")),
              HasSubstr("'West'"));
  EXPECT_THAT(Refused("cluster join west --credentials " + Path("west")),
              HasSubstr("--gateways or --via"));
}

TEST_F(DirectoryCommandsTest, DrainsShowsAndRemoves) {
  Expect("directory init");
  EXPECT_EQ(Expect("cluster list"), "no cluster has joined\n");
  Join("west");
  Join("east");
  const auto west = As("tombolo-cluster-west", "west");
  const std::string own = "/d/clusters/west/";
  ASSERT_TRUE(
      west->Commit({.then = {etcd::Operation::Put(own + "gateways/g1", "{}"),
                             etcd::Operation::Put(own + "services/shop/api", "{}"),
                             etcd::Operation::Put(own + "publisher", R"({"gateway":"g1"})")}})
          .ok());
  EXPECT_THAT(Expect("cluster list"),
              AllOf(ContainsRegex("west +alive +1 +203.0.113.0/24,2001:db8::/32 +1 +g1"),
                    ContainsRegex("east +away +0 ")));
  EXPECT_EQ(Expect("cluster drain west"), "cluster west is draining\n");
  EXPECT_THAT(Expect("cluster list"), ContainsRegex("west +draining "));
  EXPECT_EQ(Expect("cluster undrain west"), "cluster west takes part again\n");
  EXPECT_THAT(Refused("cluster drain north"), HasSubstr("no cluster 'north'"));

  Expect("namespace grant shop west east");
  Expect("namespace grant books west");
  Expect("cluster remove west");
  EXPECT_EQ(Value("/d/admin/clusters/west"), "(none)");
  EXPECT_EQ(Value(own + "services/shop/api"), "(none)");
  EXPECT_EQ(Value("/d/admin/namespaces/shop"), R"({"clusters":["east"]})");
  EXPECT_EQ(Value("/d/admin/namespaces/books"), "(none)");
  EXPECT_THAT(Expect("cluster list"), Not(HasSubstr("west")));
  EXPECT_FALSE(Write(*west, own + "cluster").ok());
  Expect("cluster remove west");
}

TEST_F(DirectoryCommandsTest, GrantsNamespaces) {
  Expect("directory init");
  Join("west");
  Join("east");
  EXPECT_EQ(Expect("namespace list"), "nobody may serve any namespace\n");
  EXPECT_EQ(Expect("namespace grant shop west"), "namespace shop may be served by west\n");
  EXPECT_EQ(Expect("namespace grant shop east west"),
            "namespace shop may be served by east, west\n");
  EXPECT_EQ(Value("/d/admin/namespaces/shop"), R"({"clusters":["east","west"]})");
  EXPECT_THAT(Expect("namespace list"), ContainsRegex("shop +east,west\n"));
  EXPECT_THAT(Refused("namespace grant shop wset"), HasSubstr("no cluster 'wset'"));
  EXPECT_EQ(Expect("namespace revoke shop east"), "namespace shop may be served by west\n");
  EXPECT_EQ(Expect("namespace revoke shop west"), "namespace shop may be served by nobody\n");
  EXPECT_EQ(Value("/d/admin/namespaces/shop"), "(none)");
}

TEST_F(DirectoryCommandsTest, RefusesWhatCannotBe) {
  Expect("directory init");
  EXPECT_THAT(Refused("cluster join West --gateways 10.0.0.0/8 --credentials " + Path("x")),
              HasSubstr("'West'"));
  EXPECT_THAT(Refused("cluster join west --gateways 10.0.0.1/8 --credentials " + Path("x")),
              HasSubstr("10.0.0.1/8"));
  EXPECT_THAT(Refused("cluster list --prefix /"), HasSubstr("--prefix '/'"));
  EXPECT_THAT(Refused("cluster list --endpoints http://10.0.0.1:1"), HasSubstr("use https://"));
  ASSERT_EQ(chmod(Path("root").c_str(), 0644), 0);
  EXPECT_THAT(Refused("cluster list"), HasSubstr("chmod 600"));
}

// Two etcds that differ in the common name of their certificates.
class ServerNameTest : public testing::OpensslCommandTest {
 protected:
  void Expect(const std::string& arguments) const {
    const ShellResult result = Openssl(arguments);
    ASSERT_EQ(result.status, 0) << result.output;
  }
  void NewCertificate(const std::string& name, const std::string& subject) const {
    Write("ext", "subjectAltName=IP:127.0.0.1\n");
    Expect("req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj " + subject + " -keyout " +
           name + ".key -out csr");
    Expect("x509 -req -days 1 -CA ca.pem -CAkey ca.key -CAcreateserial -in csr -extfile ext -out " +
           name + ".pem");
  }
  std::string Path(const std::string& name) const { return directory_ + "/" + name; }
  ShellResult Init(const std::string& subject) const {
    NewCertificate("server", subject);
    const auto etcd = EtcdCluster::Start(
        {.scheme = "https",
         .flags = {"--bcrypt-cost=4", "--cert-file=" + Path("server.pem"),
                   "--key-file=" + Path("server.key"), "--trusted-ca-file=" + Path("ca.pem"),
                   "--client-cert-auth=true"}});
    const std::string command =
        absl::StrCat(TOMBOLO_PROGRAM " directory init --endpoints ", etcd->endpoint(0), " --ca ",
                     Path("ca.pem"), " --certificate ", Path("client.pem"), " --key ",
                     Path("client.key"), " --password ", Path("root"));
    const MonotonicTime deadline = After(std::chrono::seconds(20));
    ShellResult result = Shell(command);
    while (result.output.find("connect: ") != std::string::npos &&
           std::chrono::steady_clock::now() < deadline) {
      result = Shell(command);  // it has not listened yet
    }
    return result;
  }
};

TEST_F(ServerNameTest, InitFindsAMemberThatTakesAnybodyForRoot) {
  TOMBOLO_SKIP_UNLESS_OK(EtcdCluster::Ready());
  Expect(
      "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=ca "
      "-keyout ca.key -out ca.pem");
  NewCertificate("client", "/O=agents");
  const ShellResult good = Init("/O=etcd");
  EXPECT_EQ(good.status, 0) << good.output;
  const ShellResult bad = Init("/CN=root");
  EXPECT_EQ(bad.status, 1) << bad.output;
  EXPECT_THAT(bad.output, HasSubstr("takes everybody who has a certificate for a user"));
}

}  // namespace
}  // namespace tombolo::cli
