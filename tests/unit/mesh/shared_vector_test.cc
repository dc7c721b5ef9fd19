// SPDX-License-Identifier: Apache-2.0
#include "mesh/shared_vector.h"

#include <memory>
#include <string>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tombolo::mesh {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(SharedVectorTest, ACopySharesUntilOneIsChanged) {
  SharedVector<std::string> a = {"x", "y"};
  SharedVector<std::string> b = a;
  EXPECT_TRUE(a.Shares(b));
  const std::string* x = &std::as_const(a)[0];
  EXPECT_EQ(&std::as_const(b)[0], x);
  b[0] = "z";
  EXPECT_FALSE(a.Shares(b));
  EXPECT_THAT(std::as_const(a), ElementsAre("x", "y"));
  EXPECT_THAT(std::as_const(b), ElementsAre("z", "y"));
  EXPECT_EQ(&std::as_const(a)[0], x);
  a[1] = "w";
  EXPECT_EQ(&std::as_const(a)[0], x) << "nobody else's: changed in place";
}

TEST(SharedVectorTest, IsAVector) {
  SharedVector<int> a;
  EXPECT_THAT(std::as_const(a), IsEmpty());
  EXPECT_EQ(a, SharedVector<int>());
  a.push_back(1);
  a.push_back(2);
  a.back() = 3;
  EXPECT_EQ(a, (SharedVector<int>{1, 3}));
  a.erase(a.begin());
  EXPECT_THAT(std::as_const(a), ElementsAre(3));
  a.pop_back();
  EXPECT_TRUE(a.empty());
  EXPECT_EQ(a, SharedVector<int>());
  a = {4};
  EXPECT_EQ(a.at(0), 4);
  a.clear();
  EXPECT_TRUE(a.empty());
}

TEST(VectorOfSharedTest, ACopySharesEachElementUntilItIsChanged) {
  VectorOfShared<std::string> a = {"x", "y"};
  VectorOfShared<std::string> b = a;
  b[0] = "z";
  for (std::string& element : b) element += "!";
  EXPECT_THAT(std::as_const(a), ElementsAre("x", "y"));
  EXPECT_THAT(std::as_const(b), ElementsAre("z!", "y!"));
  VectorOfShared<std::string> c = a;
  c[1] = "w";
  EXPECT_TRUE(c.Shares(0, a));
  EXPECT_FALSE(c.Shares(1, a));
  EXPECT_FALSE(c.Shares(2, a));
  EXPECT_FALSE(a == c);
  c[1] = "y";
  EXPECT_TRUE(a == c) << "by what they say";
}

TEST(VectorOfSharedTest, SharesWhatItIsGiven) {
  const auto element = std::make_shared<const std::string>("x");
  VectorOfShared<std::string> a;
  a.Share(element);
  a.push_back("y");
  EXPECT_EQ(a.pointer(0), element);
  a[0] = "z";
  EXPECT_EQ(*element, "x");
  EXPECT_THAT(std::as_const(a), ElementsAre("z", "y"));
  EXPECT_EQ(a.size(), 2u);
  a.clear();
  EXPECT_TRUE(a.empty());
}

}  // namespace
}  // namespace tombolo::mesh
