// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>

#include <gtest/gtest.h>
#include <stdlib.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace tombolo::source {

// A directory of this test's own, removed with everything in it.
class TempDir {
 public:
  TempDir() : path_((std::filesystem::temp_directory_path() / "tombolo-source-XXXXXX").string()) {
    EXPECT_NE(mkdtemp(path_.data()), nullptr);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  std::string Path(absl::string_view name) const { return absl::StrCat(path_, "/", name); }

  // Writes a file in place and returns its path.
  std::string Write(absl::string_view name, absl::string_view text) const {
    const std::string path = Path(name);
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    std::ofstream(path) << text;
    return path;
  }

  // Writes it as editors do: a new file, then a rename over the old one.
  void Replace(absl::string_view name, absl::string_view text) const {
    const std::string fresh = Write(absl::StrCat(name, ".new"), text);
    std::filesystem::rename(fresh, Path(name));
  }

 private:
  std::string path_;
};

}  // namespace tombolo::source
