// SPDX-License-Identifier: Apache-2.0
#include "source/yaml_node.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <sstream>

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/errno_status.h"
#include "base/fd.h"

namespace tombolo::source {
namespace {

constexpr std::size_t kMaxDepth = 32;

int LineOf(const YAML::Mark& mark) { return mark.line < 0 ? 1 : mark.line + 1; }

// Builds YamlNodes from yaml-cpp's events. yaml-cpp's own tree would keep
// duplicate keys without a word and expand aliases when walked.
class TreeBuilder : public YAML::EventHandler {
 public:
  explicit TreeBuilder(YamlErrors& errors) : errors_(errors) {}

  bool failed() const { return failed_; }
  YamlNode TakeRoot() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1) Fail(mark, "a second document begins here; only one is allowed");
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (ExpectsKey()) return Fail(mark, "a key is missing");
    if (RefuseAnchor(mark, anchor)) return;
    Append(mark, YamlNode::Kind::kNull);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    RefuseAnchor(mark, anchor);
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    if (RefuseAnchor(mark, anchor) || RefuseTag(mark, tag)) return;
    const auto is_control = [](unsigned char c) { return c < 0x20 || c == 0x7f; };
    if (std::any_of(value.begin(), value.end(), is_control)) {
      return Fail(mark, "a text with control characters");
    }
    if (ExpectsKey()) return AddKey(mark, value);
    if (YamlNode* node = Append(mark, YamlNode::Kind::kScalar)) node->scalar = value;
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Open(mark, tag, anchor, YamlNode::Kind::kList);
  }
  void OnSequenceEnd() override { Close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    Open(mark, tag, anchor, YamlNode::Kind::kMap);
  }
  void OnMapEnd() override { Close(); }

 private:
  // A list or map whose end has not come yet. Pointers stay valid: a parent grows
  // only after its last child is closed.
  struct Frame {
    YamlNode* node;
    bool key_is_next = true;                       // in a map
    absl::flat_hash_map<std::string, int> keys{};  // to their lines
  };

  bool ExpectsKey() const {
    return !failed_ && !open_.empty() && open_.back().node->kind == YamlNode::Kind::kMap &&
           open_.back().key_is_next;
  }

  std::string Path() const {
    std::string path;
    for (const Frame& frame : open_) {
      const std::vector<YamlEntry>& entries = frame.node->entries;
      if (frame.node->kind == YamlNode::Kind::kList) {
        absl::StrAppend(&path, "[", entries.empty() ? 0 : entries.size() - 1, "]");
      } else if (!entries.empty()) {
        absl::StrAppend(&path, path.empty() ? "" : ".", entries.back().key);
      }
    }
    return path;
  }

  // What follows an error of structure cannot be told apart any more.
  void Fail(const YAML::Mark& mark, absl::string_view message) {
    if (!failed_) errors_.Add(LineOf(mark), Path(), message);
    failed_ = true;
  }

  bool RefuseAnchor(const YAML::Mark& mark, YAML::anchor_t anchor) {
    if (anchor != 0) Fail(mark, "anchors and aliases (& and *) are not allowed");
    return failed_;
  }

  // "?" is a plain scalar, "!" a quoted one.
  bool RefuseTag(const YAML::Mark& mark, const std::string& tag) {
    if (!tag.empty() && tag != "?" && tag != "!") {
      Fail(mark, absl::StrCat("tags are not allowed: '", tag, "'"));
    }
    return failed_;
  }

  void AddKey(const YAML::Mark& mark, const std::string& key) {
    Frame& frame = open_.back();
    frame.key_is_next = false;
    const auto [first, inserted] = frame.keys.try_emplace(key, LineOf(mark));
    frame.node->entries.push_back({key, LineOf(mark), {}});
    if (!inserted) {
      errors_.Add(LineOf(mark), Path(),
                  absl::StrCat("is there twice, first on line ", first->second));
    }
  }

  // A new value at the place that comes next; null once something has failed.
  YamlNode* Append(const YAML::Mark& mark, YamlNode::Kind kind) {
    if (++nodes_ > kMaxYamlNodes) Fail(mark, "too many values");
    if (failed_) return nullptr;
    YamlNode* node = &root_;
    if (!open_.empty()) {
      Frame& frame = open_.back();
      if (frame.node->kind == YamlNode::Kind::kList) {
        frame.node->entries.push_back({.key = "", .line = LineOf(mark), .value = {}});
      }
      frame.key_is_next = true;
      node = &frame.node->entries.back().value;
    }
    node->kind = kind;
    node->line = LineOf(mark);
    // yaml-cpp puts what is not there at the beginning of what comes next.
    if (kind == YamlNode::Kind::kNull && !open_.empty()) {
      node->line = open_.back().node->entries.back().line;
    }
    return node;
  }

  void Open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
            YamlNode::Kind kind) {
    if (ExpectsKey()) return Fail(mark, "a key must be a plain text");
    if (RefuseAnchor(mark, anchor) || RefuseTag(mark, tag)) return;
    if (open_.size() >= kMaxDepth) return Fail(mark, "nested too deeply");
    if (YamlNode* node = Append(mark, kind)) open_.push_back({.node = node});
  }

  void Close() {
    if (!failed_) open_.pop_back();
  }

  YamlErrors& errors_;
  YamlNode root_;
  std::vector<Frame> open_;
  std::size_t nodes_ = 0;
  int documents_ = 0;
  bool failed_ = false;
};

// The one place where yaml-cpp's exceptions are caught.
bool Feed(const std::string& text, TreeBuilder& builder, YamlErrors& errors) {
  std::istringstream stream(text);
  try {
    YAML::Parser parser(stream);
    bool any = false;
    while (!builder.failed() && parser.HandleNextDocument(builder)) any = true;
    if (!any) errors.Add(1, "", "the file is empty");
    return any && !builder.failed();
  } catch (const YAML::Exception& error) {
    errors.Add(LineOf(error.mark), "", absl::StrCat("not YAML: ", error.msg));
    return false;
  }
}

}  // namespace

void YamlErrors::Add(int line, absl::string_view path, absl::string_view message) {
  if (full()) {
    ++left_out_;
    return;
  }
  errors_.emplace_back(
      line, absl::StrCat(file_, ":", line, ": ", path, path.empty() ? "" : ": ", message));
}

absl::Status YamlErrors::ToStatus() const {
  if (errors_.empty()) return absl::OkStatus();
  auto sorted = errors_;
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::string text = absl::StrJoin(
      sorted, "\n", [](std::string* out, const auto& error) { out->append(error.second); });
  if (left_out_ > 0) absl::StrAppend(&text, "\n", file_, ": and ", left_out_, " more errors");
  return absl::InvalidArgumentError(text);
}

absl::StatusOr<std::string> ReadYamlFile(const std::string& path) {
  // O_NONBLOCK: opening a FIFO by mistake must not hang the thread.
  const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) return ErrnoStatus(errno, absl::StrCat("open '", path, "'"));
  struct stat info {};
  if (fstat(fd.get(), &info) != 0) return ErrnoStatus(errno, absl::StrCat("stat '", path, "'"));
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat("'", path, "' is not a regular file"));
  }
  // One byte more than allowed shows a file that is too long, even one that grows.
  std::string text(std::min<std::size_t>(info.st_size, kMaxYamlBytes) + 1, '\0');
  std::size_t size = 0;
  while (size < text.size()) {
    const ssize_t got = read(fd.get(), text.data() + size, text.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus(errno, absl::StrCat("read '", path, "'"));
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  if (size > kMaxYamlBytes) {
    return absl::InvalidArgumentError(absl::StrCat("'", path, "' is longer than 16 MiB"));
  }
  text.resize(size);
  return text;
}

std::optional<YamlNode> ParseYaml(const std::string& text, YamlErrors& errors) {
  TreeBuilder builder(errors);
  if (!Feed(text, builder, errors)) return std::nullopt;
  return builder.TakeRoot();
}

}  // namespace tombolo::source
