// SPDX-License-Identifier: Apache-2.0
// Restart, crash, removal and foreign programs.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>

#include <bpf/bpf.h>

#include "abi/capture.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "fixture.h"

namespace tombolo::datapath {
namespace {

class LifecycleTest : public DatapathTest {
 protected:
  std::string Pin(const std::string& rest) const {
    return absl::StrCat(options_.bpffs, "/tombolo/", options_.instance, "/", rest);
  }
  std::uint32_t LinkedProgram(const std::string& name) const {
    const Fd link(bpf_obj_get(Pin("links/" + name).c_str()));
    bpf_link_info info{};
    std::uint32_t length = sizeof(info);
    EXPECT_EQ(bpf_obj_get_info_by_fd(link.get(), &info, &length), 0);
    return info.prog_id;
  }
};

TEST_F(LifecycleTest, WithoutAgentConnectionsAreRefused) {
  datapath_.reset();
  EXPECT_EQ(ConnectError(workload_, kVip), 0);  // its listener still lives
  listener4_.Close();
  EXPECT_EQ(ConnectError(workload_, kVip), ECONNREFUSED);
}

TEST_F(LifecycleTest, ASecondOpenReplacesProgramsAndForgetsWhatWasNotTaken) {
  const Attempt pending = Connect(workload_, kVip);
  ASSERT_EQ(pending.error, 0);
  const std::uint32_t before = LinkedProgram("tb_connect4");
  datapath_.reset();
  Open();
  EXPECT_NE(LinkedProgram("tb_connect4"), before);
  EXPECT_EQ(LinkedProgram("tb_connect4"), datapath_->ReadPrograms()[3].id);
  EXPECT_EQ(Count("captured"), 1u);
  // An earlier agent's queue died with it: another connection may have that 4-tuple now.
  EXPECT_EQ(AcceptAndTake(listener4_).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ConnectError(workload_, kVip), 0) << "services and marks outlive the agent";
}

TEST_F(LifecycleTest, OpenCorrectsCountersThatACrashLeft) {
  const Fd pending(bpf_obj_get(Pin("maps/tb_pending").c_str()));
  for (std::uint32_t slot = 0; slot < options_.max_workloads; ++slot) {
    const std::int64_t value = options_.max_pending_per_workload;
    ASSERT_EQ(bpf_map_update_elem(pending.get(), &slot, &value, BPF_ANY), 0);
  }
  ASSERT_EQ(ConnectError(workload_, kVip), ECONNREFUSED);
  Open();
  EXPECT_EQ(ConnectError(workload_, kVip), 0);
}

TEST_F(LifecycleTest, SlotsStayTheSame) {
  const Fd workloads(bpf_obj_get(Pin("maps/tb_workloads").c_str()));
  const std::uint64_t id = workload_.id();
  tb_workload before{};
  ASSERT_EQ(bpf_map_lookup_elem(workloads.get(), &id, &before), 0);
  Open();
  std::swap(desired_.workloads[0], desired_.workloads[1]);
  desired_.workloads.insert(desired_.workloads.begin(), {stranger_.id(), false});
  Apply();
  tb_workload after{};
  ASSERT_EQ(bpf_map_lookup_elem(workloads.get(), &id, &after), 0);
  EXPECT_EQ(before.slot, after.slot);
}

TEST_F(LifecycleTest, RemoveLeavesNothing) {
  ASSERT_TRUE(Datapath::Remove(options_.bpffs, options_.instance).ok());
  EXPECT_EQ(access(Pin("").c_str(), F_OK), -1);
  EXPECT_EQ(ConnectError(workload_, kVip), ENETUNREACH);
  std::uint32_t count = 0;
  const Fd cgroup(open(root_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  for (bpf_attach_type type : {BPF_CGROUP_INET4_CONNECT, BPF_CGROUP_SOCK_OPS}) {
    ASSERT_EQ(bpf_prog_query(cgroup.get(), type, 0, nullptr, nullptr, &count), 0);
    EXPECT_EQ(count, 0u);
  }
  EXPECT_TRUE(Datapath::Remove(options_.bpffs, options_.instance).ok()) << "again";
}

TEST_F(LifecycleTest, OpenRepairsWhatACrashLeft) {
  ASSERT_EQ(unlink(Pin("links/tb_connect6").c_str()), 0);
  ASSERT_EQ(rename(Pin("links/tb_connect4").c_str(), Pin("links/tb_connect4_new").c_str()), 0);
  ASSERT_EQ(unlink(Pin("maps/tb_services").c_str()), 0);
  datapath_.reset();
  Open();
  EXPECT_EQ(ConnectError(workload_, kVip), 0) << "the services were recovered from the programs";
  EXPECT_EQ(ConnectError(workload_, kVip6), 0);
  EXPECT_NE(access(Pin("links/tb_connect4_new").c_str(), F_OK), 0);
  EXPECT_EQ(access(Pin("maps/tb_services").c_str(), F_OK), 0);
}

TEST_F(LifecycleTest, OpenFollowsANewCgroup) {
  datapath_.reset();
  options_.cgroup_path = workload_.path();
  Open();
  EXPECT_EQ(ConnectError(workload_, kVip), 0);
  const Fd cgroup(open(root_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  std::uint32_t count = 0;
  ASSERT_EQ(bpf_prog_query(cgroup.get(), BPF_CGROUP_INET4_CONNECT, 0, nullptr, nullptr, &count), 0);
  EXPECT_EQ(count, 0u);
}

TEST_F(LifecycleTest, AnotherSizeIsAClearError) {
  datapath_.reset();
  options_.max_services = 16;
  auto reopened = Datapath::Open(options_);
  ASSERT_FALSE(reopened.ok());
  EXPECT_EQ(reopened.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(absl::StrContains(reopened.status().message(), "tb_services")) << reopened.status();
  EXPECT_TRUE(absl::StrContains(reopened.status().message(), "max_entries")) << reopened.status();
  EXPECT_EQ(ConnectError(workload_, kVip), 0) << "the old state stays in force";
}

TEST_F(LifecycleTest, AnotherLayoutIsAClearError) {
  const Fd config(bpf_obj_get(Pin("maps/tb_config").c_str()));
  const std::uint32_t zero = 0;
  tb_config value{};
  ASSERT_EQ(bpf_map_lookup_elem(config.get(), &zero, &value), 0);
  value.layout = TB_LAYOUT + 1;
  ASSERT_EQ(bpf_map_update_elem(config.get(), &zero, &value, BPF_ANY), 0);
  auto reopened = Datapath::Open(options_);
  ASSERT_FALSE(reopened.ok());
  EXPECT_TRUE(absl::StrContains(reopened.status().message(), "layout")) << reopened.status();
}

TEST_F(LifecycleTest, BadOptionsAreRefused) {
  Datapath::Options options = options_;
  options.instance = "../etc";
  EXPECT_EQ(Datapath::Open(options).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Datapath::Remove(options_.bpffs, "..").code(), absl::StatusCode::kInvalidArgument);
  options = options_;
  options.bpffs = "/proc";
  EXPECT_EQ(Datapath::Open(options).status().code(), absl::StatusCode::kFailedPrecondition);
  options = options_;
  options.instance = "other";
  options.max_allowed = 0;
  EXPECT_EQ(Datapath::Open(options).status().code(), absl::StatusCode::kInvalidArgument);
  ASSERT_TRUE(Datapath::Remove(options_.bpffs, "other").ok());
}

TEST_F(LifecycleTest, ProbeSeesItsOwnHooks) {
  EXPECT_TRUE(datapath_->Probe().ok()) << datapath_->Probe();
  ASSERT_TRUE(agent_.Run([&] { EXPECT_TRUE(datapath_->Probe().ok()) << datapath_->Probe(); }).ok());
  EXPECT_GT(Count("probed"), 0u);
}

// A program that only returns 1, as another socket load balancer would attach.
Fd AttachForeign(const std::string& cgroup_path) {
  const bpf_insn code[] = {
      {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 1},
      {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0},
  };
  LIBBPF_OPTS(bpf_prog_load_opts, options);
  options.expected_attach_type = BPF_CGROUP_INET4_CONNECT;
  const Fd program(
      bpf_prog_load(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, "foreign", "GPL", code, 2, &options));
  const Fd cgroup(open(cgroup_path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  return Fd(bpf_link_create(program.get(), cgroup.get(), BPF_CGROUP_INET4_CONNECT, nullptr));
}

TEST_F(LifecycleTest, ProbeReportsAProgramThatRunsBefore) {
  const Fd foreign = AttachForeign(workload_.path());
  ASSERT_TRUE(foreign.valid());
  const absl::Status status = datapath_->Probe();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(absl::StrContains(status.message(), "'foreign'")) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), workload_.path())) << status;
}

TEST_F(LifecycleTest, ProbeAcceptsAProgramThatRunsAfter) {
  const Fd foreign = AttachForeign(root_.path());
  ASSERT_TRUE(foreign.valid());
  EXPECT_TRUE(datapath_->Probe().ok()) << datapath_->Probe();
}

TEST_F(LifecycleTest, ProbeReportsAMissingHook) {
  const Fd link(bpf_obj_get(Pin("links/tb_sockops").c_str()));
  ASSERT_EQ(bpf_link_detach(link.get()), 0);
  const absl::Status status = datapath_->Probe();
  EXPECT_TRUE(absl::StrContains(status.message(), "tb_sockops is not attached")) << status;
}

}  // namespace
}  // namespace tombolo::datapath
