// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "absl/status/statusor.h"
#include "store/store.h"

namespace tombolo::ca {

// Where a test's store lives. Every backend has one; Open() may be called again
// and again, also in a child process, for handles on the same store.
class Backend {
 public:
  virtual ~Backend() = default;
  // What the machine lacks for it.
  virtual absl::Status Ready() { return absl::OkStatus(); }
  virtual absl::StatusOr<std::unique_ptr<Store>> Open() = 0;
};

// What every store promises, whatever is behind it (store_case.cc).
using BackendMaker = std::unique_ptr<Backend> (*)();
class StoreCase : public ::testing::TestWithParam<BackendMaker> {
 protected:
  void SetUp() override;
  Store& store() { return *store_; }
  std::unique_ptr<Store> Another() const { return *backend_->Open(); }

  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Store> store_;
};

}  // namespace tombolo::ca
