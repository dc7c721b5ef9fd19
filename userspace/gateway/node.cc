// SPDX-License-Identifier: Apache-2.0
#include "gateway/node.h"

#include <algorithm>

namespace tombolo::gateway {
namespace {

constexpr std::uint32_t kMaxDoublings = 16;  // more than kLongestAvoidance needs

}  // namespace

bool Node::Claim(MonotonicTime now) {
  if (failures_ == 0) return true;
  const std::lock_guard lock(mutex_);
  if (failures_ == 0) return true;
  if (now < avoided_until()) return false;
  avoided_until_ = (now + kTrial).time_since_epoch().count();
  trial_ = true;
  return true;
}

void Node::Reached() {
  ++reached_;
  if (failures_ == 0) return;
  const std::lock_guard lock(mutex_);
  failures_ = 0;
  avoided_until_ = 0;
  trial_ = false;
}

void Node::Failed(MonotonicTime now) {
  ++failed_;
  const std::lock_guard lock(mutex_);
  if (now < avoided_until() && !trial_) return;
  trial_ = false;
  const std::uint32_t before = std::min(failures_.fetch_add(1), kMaxDoublings);
  const Duration avoidance = std::min(kFirstAvoidance * (1 << before), kLongestAvoidance);
  avoided_until_ = (now + avoidance).time_since_epoch().count();
}

std::shared_ptr<Node> Nodes::Get(const mesh::Node& node) {
  std::shared_ptr<Node>& known = nodes_[{node.name, node.tunnel_address, node.zone}];
  if (known == nullptr) known = std::make_shared<Node>(node);
  return known;
}

void Nodes::DropUnused() {
  std::erase_if(nodes_, [](const auto& entry) { return entry.second.use_count() == 1; });
}

}  // namespace tombolo::gateway
