// SPDX-License-Identifier: Apache-2.0
#include "source/yaml_reader.h"

#include <sys/stat.h>

#include <optional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "source/values.h"
#include "unit/source/temp_dir.h"

namespace tombolo::source {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// The message of what is wrong with `text` as YAML; "" when nothing is.
std::string ErrorsOf(const std::string& text) {
  YamlErrors errors("f.yaml");
  const auto root = ParseYaml(text, errors);
  EXPECT_TRUE(root.has_value() || !errors.ToStatus().ok());
  return std::string(errors.ToStatus().message());
}

struct Thing {
  std::string name = "default";
  std::uint16_t port = 1;
  std::vector<std::uint16_t> ports;
};

std::string Read(const std::string& text, Thing& thing) {
  YamlErrors errors("f.yaml");
  if (const auto root = ParseYaml(text, errors)) {
    YamlMap map(*root, "", errors);
    map.Required("name", thing.name, ParseText);
    map.Optional("port", thing.port, ParsePort);
    map.List("ports", thing.ports, ParsePort);
    YamlMap below = map.Map("below");
    below.Optional("port", thing.port, ParsePort);
    below.Finish();
    for (YamlMap& item : map.Maps("items")) {
      item.Required("port", thing.port, ParsePort);
      item.Finish();
    }
    map.Finish();
  }
  return std::string(errors.ToStatus().message());
}

TEST(YamlReaderTest, ReadsWhatIsThere) {
  Thing thing;
  EXPECT_EQ(Read("name: a\nport: '80'\nports: [1, 2]\nitems:\n- {port: 3}\n", thing), "");
  EXPECT_EQ(thing.name, "a");
  EXPECT_EQ(thing.port, 3);
  EXPECT_THAT(thing.ports, ElementsAre(1, 2));
}

TEST(YamlReaderTest, EmptyListsAndMapsMayBeWrittenInThreeWays) {
  Thing thing;
  EXPECT_EQ(Read("name: a\nports:\nitems: []\nbelow: {}\n", thing), "");
  EXPECT_EQ(thing.port, 1);
}

TEST(YamlReaderTest, ErrorsNameFileLineKeyAndValue) {
  Thing thing;
  EXPECT_EQ(Read("name: a\nitems:\n  - port: 1\n  - port: 70000\n", thing),
            "f.yaml:4: items[1].port: '70000' is not a port (1 to 65535)");
  EXPECT_EQ(Read("port: 1\n", thing), "f.yaml:1: name: is missing");
  EXPECT_EQ(Read("name: a\nprot: 1\n", thing),
            "f.yaml:2: prot: is not a known key; did you mean 'port'?");
  EXPECT_EQ(Read("name: a\nbelow:\n  zzz: 1\n", thing), "f.yaml:3: below.zzz: is not a known key");
  EXPECT_EQ(Read("name: [a]\n", thing), "f.yaml:1: name: must be a single value, not a list");
  EXPECT_EQ(Read("name:\n", thing), "f.yaml:1: name: has no value");
  EXPECT_EQ(Read("name: ''\n", thing), "f.yaml:1: name: '' is empty");
  EXPECT_EQ(Read("name: a\nports: 1\n", thing),
            "f.yaml:2: ports: must be a list, not a single value");
  EXPECT_EQ(Read("name: a\nports: [1, {}]\n", thing),
            "f.yaml:2: ports[1]: must be a single value, not a map");
  EXPECT_EQ(Read("name: a\nbelow: 3\n", thing),
            "f.yaml:2: below: must be a map, not a single value");
  EXPECT_EQ(Read("- a\n", thing), "f.yaml:1: must be a map, not a list");
}

TEST(YamlReaderTest, AllErrorsInTheOrderOfTheFile) {
  Thing thing;
  EXPECT_EQ(Read("zzz: 1\nport: x\nname: a\nports: [0]\n", thing),
            "f.yaml:1: zzz: is not a known key\n"
            "f.yaml:2: port: 'x' is not a port (1 to 65535)\n"
            "f.yaml:4: ports[0]: '0' is not a port (1 to 65535)");
}

TEST(YamlReaderTest, TwentyErrorsAreEnough) {
  std::string text = "name: a\nports:\n";
  for (int i = 0; i < 25; ++i) text += "- x\n";
  Thing thing;
  const std::string errors = Read(text, thing);
  EXPECT_THAT(errors, HasSubstr("ports[19]"));
  EXPECT_THAT(errors, testing::Not(HasSubstr("ports[20]")));
  EXPECT_THAT(errors, testing::EndsWith("f.yaml: and 5 more errors"));
}

TEST(ParseYamlTest, DuplicateKeysAreErrors) {
  EXPECT_EQ(ErrorsOf("a: 1\nb: 2\na: 3\n"), "f.yaml:3: a: is there twice, first on line 1");
  EXPECT_EQ(ErrorsOf("x:\n- {}\n- b:\n    a: 1\n    'a': 2\n"),
            "f.yaml:5: x[1].b.a: is there twice, first on line 4");
  EXPECT_EQ(ErrorsOf("x: {a: 1}\ny: {a: 1}\n"), "");
}

TEST(ParseYamlTest, ADuplicateDoesNotHideOtherErrors) {
  Thing thing;
  EXPECT_EQ(Read("name: a\nport: 1\nport: 2\nzzz: 3\n", thing),
            "f.yaml:3: port: is there twice, first on line 2\nf.yaml:4: zzz: is not a known key");
}

TEST(ParseYamlTest, RefusesWhatAConfigurationHasNoNeedOf) {
  EXPECT_THAT(ErrorsOf("a: &x 1\nb: *x\n"), HasSubstr("f.yaml:1: a: anchors and aliases"));
  EXPECT_THAT(ErrorsOf("a: &x [1]\n"), HasSubstr("anchors"));
  EXPECT_THAT(ErrorsOf("&x a: 1\n"), HasSubstr("anchors"));
  EXPECT_THAT(ErrorsOf("a: !!binary aGk=\n"), HasSubstr("tags are not allowed"));
  EXPECT_THAT(ErrorsOf("a: !x {}\n"), HasSubstr("tags are not allowed"));
  EXPECT_THAT(ErrorsOf("? [a, b]\n: 1\n"), HasSubstr("a key must be a plain text"));
  EXPECT_THAT(ErrorsOf("~: 1\n"), HasSubstr("a key is missing"));
  EXPECT_THAT(ErrorsOf("a: 1\n---\nb: 2\n"), HasSubstr("f.yaml:"));
  EXPECT_THAT(ErrorsOf("a: 1\n---\nb: 2\n"), HasSubstr("a second document"));
  EXPECT_THAT(ErrorsOf("a: \"x\\ny\"\n"), HasSubstr("control characters"));
  EXPECT_THAT(ErrorsOf(""), HasSubstr("the file is empty"));
  EXPECT_THAT(ErrorsOf("# only a comment\n"), HasSubstr("f.yaml:1"));
}

TEST(ParseYamlTest, BrokenYamlNamesTheLine) {
  EXPECT_THAT(ErrorsOf("a: 1\nb: [1, 2\n"), HasSubstr("not YAML"));
  EXPECT_THAT(ErrorsOf("a: 1\n\tb: 2\n"), HasSubstr("f.yaml:2: not YAML"));
  EXPECT_THAT(ErrorsOf("a: b: c\n"), HasSubstr("not YAML"));
  EXPECT_THAT(ErrorsOf("a: *nobody\n"), HasSubstr("f.yaml:1"));
}

TEST(ParseYamlTest, DeepNestingIsRefused) {
  EXPECT_THAT(ErrorsOf(std::string(100, '[') + std::string(100, ']')),
              HasSubstr("nested too deeply"));
  EXPECT_THAT(ErrorsOf(std::string(100'000, '[')), HasSubstr("f.yaml:1"));
  EXPECT_THAT(ErrorsOf(std::string(100'000, '{')), HasSubstr("f.yaml:1"));
}

TEST(ParseYamlTest, ABombIsRefusedAtItsFirstAnchor) {
  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 30; ++i) {
    absl::StrAppend(&bomb, "a", i, ": &a", i, " [*a", i - 1, ", *a", i - 1, ", *a", i - 1, "]\n");
  }
  EXPECT_THAT(ErrorsOf(bomb), HasSubstr("f.yaml:1: a0: anchors"));
}

TEST(ParseYamlTest, CutAndChangedTextsNeverCrash) {
  const std::string text =
      "a: [1, {b: 'c'}]\nd:\n  - e: \"f\"\n    g: |\n      h\n  - i\n? j\n: k\n";
  for (std::size_t cut = 0; cut < text.size(); ++cut) {
    ErrorsOf(text.substr(0, cut));
    for (const char replacement : std::string("\0\xff&*!{}[]:-?|>'\"\t\n%@`#,", 23)) {
      std::string changed = text;
      changed[cut] = replacement;
      ErrorsOf(changed);
    }
  }
}

TEST(ReadYamlFileTest, SaysWhatIsWrongWithTheFile) {
  const TempDir dir;
  EXPECT_EQ(*ReadYamlFile(dir.Write("small.yaml", "a: 1\n")), "a: 1\n");
  EXPECT_EQ(*ReadYamlFile(dir.Write("empty.yaml", "")), "");
  EXPECT_EQ(ReadYamlFile(dir.Path("missing.yaml")).status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(ReadYamlFile(dir.Path(".")).status().message()),
              HasSubstr("is not a regular file"));
  ASSERT_EQ(mkfifo(dir.Path("fifo").c_str(), 0600), 0);
  EXPECT_THAT(std::string(ReadYamlFile(dir.Path("fifo")).status().message()),
              HasSubstr("is not a regular file"));
  EXPECT_TRUE(ReadYamlFile(dir.Write("limit", std::string(kMaxYamlBytes, '#'))).ok());
  EXPECT_THAT(
      std::string(
          ReadYamlFile(dir.Write("huge", std::string(kMaxYamlBytes + 1, '#'))).status().message()),
      HasSubstr("is longer than 16 MiB"));
}

}  // namespace
}  // namespace tombolo::source
