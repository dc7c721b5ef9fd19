// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "testing/shell.h"
#include "testing/skip.h"

namespace tombolo::testing {

// The openssl command as the judge of what is made here, with files in a directory of each test.
class OpensslCommandTest : public ::testing::Test {
 protected:
  OpensslCommandTest() {
    std::string name = std::filesystem::temp_directory_path() / "tombolo-tls.XXXXXX";
    if (mkdtemp(name.data()) == nullptr) std::abort();
    directory_ = name;
  }
  ~OpensslCommandTest() override {
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }
  void SetUp() override {
    if (Shell("openssl version").status != 0) TOMBOLO_SKIP_WITHOUT("the openssl command");
  }

  // The path of a new file.
  std::string Write(const std::string& name, const std::string& content) const {
    std::ofstream(directory_ + "/" + name, std::ios::binary) << content;
    return directory_ + "/" + name;
  }
  std::string Read(const std::string& name) const {
    std::ifstream in(directory_ + "/" + name, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  ShellResult Openssl(const std::string& arguments) const {
    return Shell("cd " + directory_ + " && openssl " + arguments);
  }
  // For both roles of a peer. `chain` may be empty.
  void ExpectVerifies(const std::string& leaf, const std::string& chain, const std::string& roots) {
    Write("v-roots.pem", roots);
    Write("v-leaf.pem", leaf);
    Write("v-chain.pem", chain);
    const std::string untrusted = chain.empty() ? "" : "-untrusted v-chain.pem ";
    for (const char* purpose : {"sslclient", "sslserver"}) {
      const ShellResult verified = Openssl("verify -x509_strict -purpose " + std::string(purpose) +
                                           " -CAfile v-roots.pem " + untrusted + "v-leaf.pem");
      EXPECT_EQ(verified.status, 0) << verified.output;
    }
  }

  std::string directory_;
};

}  // namespace tombolo::testing
