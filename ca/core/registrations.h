// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "absl/status/status.h"
#include "core/grant.h"

namespace tombolo::ca {

// Which workloads run where, by the directory files that agents read too. A file that cannot be
// read, or is bad, keeps what it said last. Used by one thread at a time.
class DirectoryFiles {
 public:
  DirectoryFiles(std::vector<std::string> paths, std::string trust_domain)
      : paths_(std::move(paths)), trust_domain_(std::move(trust_domain)) {}

  // Reads the files that are other ones than the last time. True when registrations() has changed.
  bool Look();

  const std::shared_ptr<const Registrations>& registrations() const { return all_; }
  // What is wrong with a file now, one text each.
  std::vector<std::string> Errors() const;

 private:
  // What stat() tells two versions of a file apart by. All zero: not there.
  using Print = std::tuple<std::uint64_t, std::uint64_t, std::int64_t, std::int64_t, std::int64_t>;
  struct File {
    Print print{};
    bool seen = false;
    Registrations registrations;
    absl::Status status;
  };
  static Print PrintOf(const std::string& path);
  absl::Status Load(const std::string& path, Registrations& registrations) const;

  const std::vector<std::string> paths_;
  const std::string trust_domain_;
  std::map<std::string, File> files_;
  std::shared_ptr<const Registrations> all_ = std::make_shared<const Registrations>();
};

}  // namespace tombolo::ca
