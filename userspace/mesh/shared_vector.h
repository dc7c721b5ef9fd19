// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <initializer_list>
#include <memory>
#include <utility>
#include <vector>

#include <boost/iterator/indirect_iterator.hpp>
#include <boost/iterator/transform_iterator.hpp>

// Vectors whose copies share what they hold, so that a snapshot that differs a little from the one
// before costs little. What is changed is copied first if somebody else has it, too: a non-const
// accessor is a change, and pointers and iterators from before it may be of the others' then. What
// is shared is never changed, so copies may be read by several threads.
//
// But who has the only copy writes to it in place, and learns from a count alone, which orders
// nothing, that the others are gone: what another thread may have read must not be changed, but
// replaced.
namespace tombolo::mesh {

// Shared as a whole.
template <typename T>
class SharedVector {
 public:
  using Vector = std::vector<T>;
  using value_type = T;
  using const_iterator = typename Vector::const_iterator;
  using iterator = typename Vector::iterator;

  SharedVector() = default;
  SharedVector(Vector values) : values_(std::make_shared<Vector>(std::move(values))) {}
  SharedVector(std::initializer_list<T> values) : SharedVector(Vector(values)) {}
  SharedVector& operator=(std::initializer_list<T> values) {
    return *this = SharedVector(Vector(values));
  }

  std::size_t size() const { return values_ == nullptr ? 0 : values_->size(); }
  bool empty() const { return size() == 0; }
  const_iterator begin() const { return values_ == nullptr ? const_iterator() : values_->begin(); }
  const_iterator end() const { return values_ == nullptr ? const_iterator() : values_->end(); }
  const T& operator[](std::size_t i) const { return (*values_)[i]; }
  const T& at(std::size_t i) const { return values_->at(i); }

  iterator begin() { return Own().begin(); }
  iterator end() { return Own().end(); }
  T& operator[](std::size_t i) { return Own()[i]; }
  T& at(std::size_t i) { return Own().at(i); }
  T& back() { return Own().back(); }
  void push_back(T value) { Own().push_back(std::move(value)); }
  void pop_back() { Own().pop_back(); }
  void erase(iterator at) { values_->erase(at); }
  void clear() { values_ = nullptr; }

  // Whether they are the same object, and not only equal.
  bool Shares(const SharedVector& other) const { return values_ == other.values_; }
  friend bool operator==(const SharedVector& a, const SharedVector& b) {
    if (a.Shares(b) || (a.empty() && b.empty())) return true;
    return a.values_ != nullptr && b.values_ != nullptr && *a.values_ == *b.values_;
  }

 private:
  Vector& Own() {
    if (values_ == nullptr) {
      values_ = std::make_shared<Vector>();
    } else if (values_.use_count() > 1) {
      values_ = std::make_shared<Vector>(*values_);
    }
    return *values_;
  }

  std::shared_ptr<Vector> values_;
};

// Each element shared by itself.
template <typename T>
class VectorOfShared {
 public:
  using Pointer = std::shared_ptr<const T>;
  using value_type = T;

 private:
  using Elements = std::vector<std::shared_ptr<T>>;
  static T& Own(std::shared_ptr<T>& element) {
    if (element.use_count() > 1) element = std::make_shared<T>(*element);
    return *element;
  }

 public:
  using const_iterator = boost::indirect_iterator<typename Elements::const_iterator, const T>;
  using iterator =
      boost::transform_iterator<T& (*)(std::shared_ptr<T>&), typename Elements::iterator>;

  VectorOfShared() = default;
  VectorOfShared(std::initializer_list<T> values) {
    reserve(values.size());
    for (const T& value : values) push_back(value);
  }
  VectorOfShared& operator=(std::initializer_list<T> values) {
    return *this = VectorOfShared(values);
  }

  std::size_t size() const { return elements_.size(); }
  bool empty() const { return elements_.empty(); }
  const_iterator begin() const { return const_iterator(elements_.begin()); }
  const_iterator end() const { return const_iterator(elements_.end()); }
  const T& operator[](std::size_t i) const { return *elements_[i]; }
  Pointer pointer(std::size_t i) const { return elements_[i]; }

  iterator begin() { return iterator(elements_.begin(), &Own); }
  iterator end() { return iterator(elements_.end(), &Own); }
  T& operator[](std::size_t i) { return Own(elements_[i]); }
  void push_back(T value) { elements_.push_back(std::make_shared<T>(std::move(value))); }
  // Of others too: what they have is copied before it is changed here. It must not have been made
  // const: who is left alone with it may change it.
  void Share(Pointer element) {
    elements_.push_back(std::const_pointer_cast<T>(std::move(element)));
  }
  void reserve(std::size_t size) { elements_.reserve(size); }
  void clear() { elements_.clear(); }

  // Whether this element is the same object in both.
  bool Shares(std::size_t i, const VectorOfShared& other) const {
    return i < size() && i < other.size() && elements_[i] == other.elements_[i];
  }
  friend bool operator==(const VectorOfShared& a, const VectorOfShared& b) {
    if (a.size() != b.size()) return false;
    for (std::size_t i = 0; i < a.size(); ++i) {
      if (!a.Shares(i, b) && !(a[i] == b[i])) return false;
    }
    return true;
  }

 private:
  Elements elements_;
};

}  // namespace tombolo::mesh
