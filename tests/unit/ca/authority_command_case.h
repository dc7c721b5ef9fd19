// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "testing/shell.h"
#include "testing/temporary_directory.h"

namespace tombolo::ca {

// What operators do with tombolo-ca, by the program itself, in a directory with a ca.yaml.
class AuthorityCommandCase : public ::testing::Test {
 protected:
  AuthorityCommandCase() {
    Write("ca.yaml",
          "trust_domain: test.example\nstore: {sqlite: ca.db}\nkeys: keys\n"
          "serve: {listen: 127.0.0.1:19443, names: [localhost]}\nadmin: {listen: \"\"}\n");
  }

  void Write(const std::string& name, const std::string& text) const {
    std::ofstream(directory_ / name) << text;
  }
  testing::ShellResult Ca(const std::string& arguments) const {
    return testing::Shell("cd " + (directory_ / ".") + " && " TOMBOLO_CA " " + arguments +
                          " --config ca.yaml");
  }
  std::string Good(const std::string& arguments) const {
    const testing::ShellResult result = Ca(arguments);
    EXPECT_EQ(result.status, 0) << arguments << ": " << result.output;
    return result.output;
  }
  std::string Bad(const std::string& arguments) const {
    const testing::ShellResult result = Ca(arguments);
    EXPECT_NE(result.status, 0) << arguments << ": " << result.output;
    return result.output;
  }
  testing::ShellResult Run(const std::string& command) const {
    return testing::Shell("cd " + (directory_ / ".") + " && " + command);
  }

  testing::TemporaryDirectory directory_;
};

}  // namespace tombolo::ca
