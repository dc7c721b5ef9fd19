// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "etcd/auth.h"
#include "etcd/client.h"
#include "etcd/settings.h"
#include "source/directory_keys.h"

// How the commands reach the directory in etcd, and who may do what there.
namespace tombolo::cli {

// Names of etcd's roles, and of the users who have them.
inline constexpr char kRoot[] = "root";            // etcd's own: makes users and roles
inline constexpr char kAdmin[] = "tombolo-admin";  // may write everywhere below the prefix
std::string UserOf(absl::string_view cluster);     // its agents and gateways

// The options that every command has. CLI11 fills them in, so they stay where they are.
struct DirectoryOptions {
  etcd::Settings etcd{.endpoints = {"http://127.0.0.1:2379"}, .user = kRoot};
  std::string prefix = "/tombolo-directory/";
};

// A command below `parent` with --endpoint, --prefix, --ca and so on.
CLI::App* AddDirectoryCommand(CLI::App& parent, const std::string& name,
                              const std::string& description, DirectoryOptions& options);

// The keys of one directory. Names are checked by those who make them of DirectoryKeys.
class DirectoryAccess {
 public:
  static absl::StatusOr<DirectoryAccess> Open(const DirectoryOptions& options);

  etcd::Client& client() const { return *client_; }
  std::string KeyOf(absl::string_view below) const { return prefix_ + std::string(below); }

  // Whatever begins so, without the prefix.
  absl::StatusOr<std::vector<etcd::KeyValue>> List(absl::string_view below) const;

  // Replaces a value by what `change` makes of it (nothing: there was none; nothing: there
  // is to be none) unless somebody else has changed it meanwhile: then once more, a few times.
  using Change = std::function<absl::StatusOr<std::optional<std::string>>(
      const std::optional<std::string>& before)>;
  absl::Status Replace(const source::DirectoryKey& key, const Change& change) const;

  // Reads all below the prefix; or, with a cluster, that and writes all that is its own.
  etcd::Permission ReadAll() const;
  etcd::Permission WriteAll() const;
  etcd::Permission WriteOf(absl::string_view cluster) const;

 private:
  DirectoryAccess(std::unique_ptr<etcd::Client> client, std::string prefix)
      : client_(std::move(client)), prefix_(std::move(prefix)) {}

  std::unique_ptr<etcd::Client> client_;
  std::string prefix_;
};

// The password in `path`; a new one, which only the owner may read, if there is no such file.
absl::StatusOr<std::string> ReadOrMakePassword(const std::string& path);

}  // namespace tombolo::cli
