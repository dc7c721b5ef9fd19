// SPDX-License-Identifier: Apache-2.0
#include "source/yaml_reader.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "source/values.h"

namespace tombolo::source {
namespace {

using Kind = YamlNode::Kind;

const YamlNode& EmptyNode() {
  static const YamlNode node;
  return node;
}

absl::string_view NameOf(Kind kind) {
  switch (kind) {
    case Kind::kNull:
      return "nothing";
    case Kind::kScalar:
      return "a single value";
    case Kind::kList:
      return "a list";
    case Kind::kMap:
      return "a map";
  }
  return "something else";
}

std::string WrongKind(const YamlNode& node, Kind wanted) {
  return absl::StrCat("must be ", NameOf(wanted), ", not ", NameOf(node.kind));
}

}  // namespace

YamlMap::YamlMap(const YamlNode& node, std::string path, YamlErrors& errors)
    : node_(&node), path_(std::move(path)), errors_(&errors) {
  if (node.kind == Kind::kMap || node.kind == Kind::kNull) return;
  errors.Add(node.line, path_, WrongKind(node, Kind::kMap));
  node_ = &EmptyNode();
  reported_ = true;
}

std::string YamlMap::PathOf(absl::string_view key) const {
  return absl::StrCat(path_, path_.empty() ? "" : ".", key);
}

const YamlEntry* YamlMap::Find(absl::string_view key) const {
  for (const YamlEntry& entry : node_->entries) {
    if (entry.key == key) return &entry;
  }
  return nullptr;
}

bool YamlMap::IsMap(absl::string_view key) const {
  const YamlEntry* entry = Find(key);
  return entry != nullptr && entry->value.kind == Kind::kMap;
}

const YamlNode* YamlMap::Ask(absl::string_view key, bool required) {
  asked_.push_back(key);
  const YamlEntry* entry = Find(key);
  if (entry != nullptr) return &entry->value;
  if (required && !reported_) errors_->Add(LineOf(key), PathOf(key), "is missing");
  return nullptr;
}

bool YamlMap::IsScalar(const YamlNode& node, const std::string& path) {
  if (node.kind == Kind::kScalar) return true;
  errors_->Add(node.line, path,
               node.kind == Kind::kNull ? "has no value" : WrongKind(node, Kind::kScalar));
  return false;
}

const YamlNode* YamlMap::Scalar(absl::string_view key, bool required) {
  const YamlNode* node = Ask(key, required);
  return node != nullptr && IsScalar(*node, PathOf(key)) ? node : nullptr;
}

YamlMap YamlMap::Below(absl::string_view key, bool required) {
  const YamlNode* node = Ask(key, required);
  YamlMap below(node == nullptr ? EmptyNode() : *node, PathOf(key), *errors_);
  if (node == nullptr) below.reported_ = true;
  return below;
}

std::vector<std::pair<const YamlNode*, std::string>> YamlMap::Items(absl::string_view key) {
  std::vector<std::pair<const YamlNode*, std::string>> items;
  const YamlNode* node = Ask(key, /*required=*/false);
  if (node == nullptr || node->kind == Kind::kNull) return items;
  if (node->kind != Kind::kList) {
    errors_->Add(node->line, PathOf(key), WrongKind(*node, Kind::kList));
    return items;
  }
  items.reserve(node->entries.size());
  for (std::size_t i = 0; i < node->entries.size(); ++i) {
    items.emplace_back(&node->entries[i].value, absl::StrCat(PathOf(key), "[", i, "]"));
  }
  return items;
}

std::vector<YamlMap> YamlMap::Maps(absl::string_view key) {
  std::vector<YamlMap> maps;
  for (auto& [node, path] : Items(key)) maps.emplace_back(*node, std::move(path), *errors_);
  return maps;
}

int YamlMap::LineOf(absl::string_view key) const {
  const YamlEntry* entry = Find(key);
  return entry == nullptr ? std::max(1, node_->line) : entry->value.line;
}

void YamlMap::Error(absl::string_view key, absl::string_view message) {
  errors_->Add(LineOf(key), PathOf(key), message);
}

void YamlMap::Error(absl::string_view message) {
  errors_->Add(std::max(1, node_->line), path_, message);
}

void YamlMap::Finish() {
  for (const YamlEntry& entry : node_->entries) {
    if (std::find(asked_.begin(), asked_.end(), entry.key) != asked_.end()) continue;
    errors_->Add(entry.line, PathOf(entry.key),
                 absl::StrCat("is not a known key", DidYouMean(entry.key, asked_)));
  }
}

}  // namespace tombolo::source
