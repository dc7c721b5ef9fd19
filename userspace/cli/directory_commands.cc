// SPDX-License-Identifier: Apache-2.0
// tombolo directory init
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
#include "cli/commands.h"
#include "cli/directory_access.h"

namespace tombolo::cli {
namespace {

// What no client of etcd can see to.
constexpr char kByHand[] = R"(
Left to you, on every member of etcd:
  --cert-file --key-file                    TLS, with certificates that have no user's name as common name (CN): etcd
                                            takes some requests through its JSON gateway for that user.
  --client-cert-auth --trusted-ca-file      only for who has a certificate of your CA; Tombolo's have no CN, and
                                            others that the CA issues must not have a user's name in theirs.
  --peer-client-cert-auth and its files     the same between the members.
  --auto-compaction-retention=1h            or the history of the directory fills the disk.
)";

struct InitOptions : DirectoryOptions {
  std::string admin_password;
};

// With authentication off everybody is root.
absl::Status EnableFor(etcd::Client& anybody, const std::string& password) {
  RETURN_IF_ERROR(etcd::EnsureUser(anybody, kRoot, password));
  RETURN_IF_ERROR(etcd::SetPassword(anybody, kRoot, password));
  RETURN_IF_ERROR(etcd::EnsureRole(anybody, kRoot, {}));
  RETURN_IF_ERROR(etcd::EnsureRoleOf(anybody, kRoot, kRoot));
  return etcd::EnableAuthentication(anybody);
}

absl::StatusOr<std::string> EnsureRootAlone(const InitOptions& options) {
  DirectoryOptions nobody = options;
  nobody.etcd.user = nobody.etcd.password_file = "";
  ASSIGN_OR_RETURN(const DirectoryAccess anybody, DirectoryAccess::Open(nobody));
  ASSIGN_OR_RETURN(const bool enabled, etcd::AuthenticationEnabled(anybody.client()));
  if (enabled) return std::string("authentication is on already\n");
  ASSIGN_OR_RETURN(const std::string password, ReadOrMakePassword(options.etcd.password_file));
  RETURN_IF_ERROR(EnableFor(anybody.client(), password));
  return absl::StrCat("user root has the password in ", options.etcd.password_file,
                      "\nauthentication is on\n");
}

absl::StatusOr<std::string> EnsureAdmin(const InitOptions& options) {
  ASSIGN_OR_RETURN(const DirectoryAccess root, DirectoryAccess::Open(options));
  RETURN_IF_ERROR(etcd::EnsureRole(root.client(), kAdmin, {root.WriteAll()}));
  std::string done = absl::StrCat("role ", kAdmin, " writes ", options.prefix, "\n");
  if (options.admin_password.empty()) return done;
  ASSIGN_OR_RETURN(const std::string password, ReadOrMakePassword(options.admin_password));
  RETURN_IF_ERROR(etcd::EnsureUser(root.client(), kAdmin, password));
  RETURN_IF_ERROR(etcd::SetPassword(root.client(), kAdmin, password));
  RETURN_IF_ERROR(etcd::EnsureRoleOf(root.client(), kAdmin, kAdmin));
  return absl::StrCat(done, "user ", kAdmin, " has that role and the password in ",
                      options.admin_password, "\n");
}

// Each member has a certificate of its own.
absl::StatusOr<std::string> CheckMembers(const InitOptions& options) {
  for (const std::string& url : options.etcd.endpoints) {
    etcd::Settings nobody = options.etcd;
    nobody.endpoints = {url};
    nobody.user = nobody.password_file = "";
    ASSIGN_OR_RETURN(etcd::Client::Options client, etcd::Load(nobody));
    client.accept = false;
    etcd::Client bare(std::move(client));
    const absl::Status status = etcd::CheckNobodyIsSomebody(bare, options.prefix);
    if (!status.ok()) return Annotate(status, url);
  }
  return std::string("no member takes somebody without a password for a user\n");
}

absl::StatusOr<std::string> Init(const InitOptions& options) {
  if (options.etcd.user != kRoot) {
    return absl::InvalidArgumentError("--user: only etcd's root can do this");
  }
  ASSIGN_OR_RETURN(const std::string root, EnsureRootAlone(options));
  ASSIGN_OR_RETURN(const std::string admin, EnsureAdmin(options));
  ASSIGN_OR_RETURN(const std::string members, CheckMembers(options));
  return absl::StrCat(root, admin, members, kByHand);
}

}  // namespace

void AddDirectory(CLI::App& app, Action& action) {
  CLI::App* directory = app.add_subcommand("directory", "the directory in etcd, of all clusters");
  directory->require_subcommand(1);
  auto options = std::make_shared<InitOptions>();
  CLI::App* init = AddDirectoryCommand(
      *directory, "init", "make etcd ask everybody who he is, and let an administrator in",
      *options);
  init->add_option("--admin-password", options->admin_password,
                   "also make the user tombolo-admin, with the password in this file (new if "
                   "there is none)");
  init->callback([options, &action] { action = [options] { return Init(*options); }; });
}

}  // namespace tombolo::cli
