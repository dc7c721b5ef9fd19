// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>
#include <utility>

#include "base/time.h"
#include "mesh/snapshot.h"
#include "net/address.h"

namespace tombolo::gateway {

// What a gateway knows of one node of its cluster, in all of its threads: how many tunnels it has
// there, and when it could not be dialled. Any thread.
class Node {
 public:
  static constexpr Duration kFirstAvoidance = std::chrono::seconds(1);
  static constexpr Duration kLongestAvoidance = std::chrono::seconds(60);
  // One connection at a time tries a node that has been avoided, for so long.
  static constexpr Duration kTrial = std::chrono::seconds(5);

  // One tunnel to the node, from when it has been chosen until it ends.
  class Use {
   public:
    Use() = default;
    explicit Use(std::shared_ptr<Node> node) : node_(std::move(node)) { ++node_->tunnels_; }
    Use(Use&& other) noexcept = default;
    Use& operator=(Use&& other) noexcept {
      std::swap(node_, other.node_);
      return *this;
    }
    ~Use() {
      if (node_ != nullptr) --node_->tunnels_;
    }
    Node* operator->() const { return node_.get(); }
    const Node* get() const { return node_.get(); }

   private:
    std::shared_ptr<Node> node_;  // null: none
  };

  Node(std::string name, net::SocketAddress address, std::string zone)
      : name_(std::move(name)), address_(address), zone_(std::move(zone)) {}
  explicit Node(const mesh::Node& node) : Node(node.name, node.tunnel_address, node.zone) {}
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  const std::string& name() const { return name_; }
  const net::SocketAddress& address() const { return address_; }
  const std::string& zone() const { return zone_; }
  std::uint32_t tunnels() const { return tunnels_; }
  std::uint64_t reached() const { return reached_; }  // times
  std::uint64_t failed() const { return failed_; }

  // Until when nobody should try it; in the past: that is over, or never was.
  MonotonicTime avoided_until() const { return MonotonicTime(Duration(avoided_until_)); }
  // Whether the caller may try it now. After an avoidance that is said to one caller only, until
  // that one has told how it went, or has had the time to.
  bool Claim(MonotonicTime now);
  // How it went. Failures while it is avoided make that no longer: many connections find out at the
  // same time that a node has gone.
  void Reached();
  void Failed(MonotonicTime now);

 private:
  const std::string name_;
  const net::SocketAddress address_;
  const std::string zone_;
  std::atomic<std::uint32_t> tunnels_{0};
  std::atomic<std::uint64_t> reached_{0}, failed_{0};
  // The rest is written with the lock.
  std::mutex mutex_;
  std::atomic<std::uint32_t> failures_{0};       // each after an avoidance
  std::atomic<Duration::rep> avoided_until_{0};  // of the monotonic clock
  bool trial_ = false;                           // somebody has claimed it since
};

// The nodes of every version of the directory, so that what is known of one outlives a change of
// another. One thread.
class Nodes {
 public:
  std::shared_ptr<Node> Get(const mesh::Node& node);
  // Drops those that only this still knows.
  void DropUnused();
  // By name, address and zone: with another one it is another node.
  using Key = std::tuple<std::string, net::SocketAddress, std::string>;
  const std::map<Key, std::shared_ptr<Node>>& all() const { return nodes_; }

 private:
  std::map<Key, std::shared_ptr<Node>> nodes_;
};

}  // namespace tombolo::gateway
