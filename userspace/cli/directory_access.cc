// SPDX-License-Identifier: Apache-2.0
#include "cli/directory_access.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "base/status_macros.h"
#include "etcd/listing.h"
#include "tls/digest.h"

namespace tombolo::cli {
namespace {

constexpr int kAttempts = 5;
constexpr std::size_t kMaxBytes = 1 << 30;

absl::Status CheckPrefix(const std::string& prefix) {
  if (prefix.size() > 1 && prefix.back() == '/') return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("--prefix '", prefix, "': has to be longer than '/' and to end in it"));
}

}  // namespace

std::string UserOf(absl::string_view cluster) { return absl::StrCat("tombolo-cluster-", cluster); }

CLI::App* AddDirectoryCommand(CLI::App& parent, const std::string& name,
                              const std::string& description, DirectoryOptions& options) {
  CLI::App* command = parent.add_subcommand(name, description);
  etcd::Settings& etcd = options.etcd;
  command->add_option("--endpoints", etcd.endpoints, "etcd's members: https://host[:port]")
      ->delimiter(',')
      ->capture_default_str();
  command->add_option("--prefix", options.prefix, "of the directory's keys")->capture_default_str();
  command->add_option("--ca", etcd.ca, "PEM file that vouches for the members");
  command->add_option("--certificate", etcd.certificate, "PEM file: this client's");
  command->add_option("--key", etcd.key, "PEM file: its key");
  command->add_option("--user", etcd.user, "whom etcd is to take you for")->capture_default_str();
  command->add_option("--password", etcd.password_file, "file with the user's password")
      ->required();
  return command;
}

absl::StatusOr<DirectoryAccess> DirectoryAccess::Open(const DirectoryOptions& options) {
  RETURN_IF_ERROR(CheckPrefix(options.prefix));
  ASSIGN_OR_RETURN(etcd::Client::Options client, etcd::Load(options.etcd));
  client.known_key = options.prefix;
  return DirectoryAccess(std::make_unique<etcd::Client>(std::move(client)), options.prefix);
}

absl::StatusOr<std::vector<etcd::KeyValue>> DirectoryAccess::List(absl::string_view below) const {
  const std::string first = KeyOf(below);
  ASSIGN_OR_RETURN(
      etcd::RangeAnswer answer,
      etcd::ListAll(*client_, {.key = first, .end = etcd::PrefixEnd(first)}, kMaxBytes));
  for (etcd::KeyValue& entry : answer.entries) entry.key.erase(0, prefix_.size());
  return std::move(answer.entries);
}

absl::Status DirectoryAccess::Replace(const source::DirectoryKey& key, const Change& change) const {
  const std::string full = KeyOf(key.Text());
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    ASSIGN_OR_RETURN(const etcd::RangeAnswer answer, client_->Range({.key = full}));
    std::optional<std::string> before;
    std::int64_t revision = 0;
    if (!answer.entries.empty()) {
      before = answer.entries[0].value;
      revision = answer.entries[0].mod_revision;
    }
    ASSIGN_OR_RETURN(const std::optional<std::string> after, change(before));
    if (after == before) return absl::OkStatus();
    etcd::Txn txn{.compares = {{.key = full, .number = revision}}};
    txn.then.push_back(after ? etcd::Operation::Put(full, *after) : etcd::Operation::Delete(full));
    ASSIGN_OR_RETURN(const etcd::TxnAnswer done, client_->Commit(txn));
    if (done.succeeded) return absl::OkStatus();
  }
  return absl::AbortedError(absl::StrCat(key.Text(), ": others change it all the time"));
}

etcd::Permission DirectoryAccess::ReadAll() const {
  return {.key = prefix_, .end = etcd::PrefixEnd(prefix_)};
}

etcd::Permission DirectoryAccess::WriteAll() const {
  return {.write = true, .key = prefix_, .end = etcd::PrefixEnd(prefix_)};
}

etcd::Permission DirectoryAccess::WriteOf(absl::string_view cluster) const {
  const std::string own = KeyOf(source::ClusterKeys(cluster));
  return {.write = true, .key = own, .end = etcd::PrefixEnd(own)};
}

absl::StatusOr<std::string> ReadOrMakePassword(const std::string& path) {
  const absl::Status made = CreateFile(
      path, absl::StrCat(tls::Hex(tls::Random128()), tls::Hex(tls::Random128()), "\n"), 0600);
  if (!made.ok() && !absl::IsAlreadyExists(made)) return made;
  return etcd::ReadPassword(path);
}

}  // namespace tombolo::cli
