// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cerrno>
#include <cstddef>
#include <memory>
#include <string>

#include <bpf/libbpf.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/errno_status.h"

namespace tombolo::datapath {

// The end of a verifier log, where the reason is, in a few lines.
std::string ShortVerifierLog(const std::string& log);

// Owns one generated libbpf skeleton and the verifier's log. Call Open, set map
// sizes, then Load. Destroying it closes programs and maps; what is pinned
// stays.
template <typename Skel>
class Skeleton {
 public:
  static absl::StatusOr<Skeleton> Open() {
    Skeleton skeleton;
    skeleton.log_ = std::make_unique<std::string>(kLogSize, '\0');
    LIBBPF_OPTS(bpf_object_open_opts, options);
    options.kernel_log_buf = skeleton.log_->data();
    options.kernel_log_size = skeleton.log_->size();
    skeleton.skel_.reset(Skel::open(&options));
    if (skeleton.skel_ == nullptr) return ErrnoStatus(errno, "open BPF object");
    return skeleton;
  }

  absl::Status Load() {
    const int rc = Skel::load(skel_.get());
    if (rc == 0) return absl::OkStatus();
    // NOLINTNEXTLINE(readability-redundant-string-cstr): the buffer is longer than its text
    const std::string log = ShortVerifierLog(log_->c_str());
    return ErrnoStatus(
        -rc, log.empty() ? "load BPF programs" : "load BPF programs (verifier: " + log + ")");
  }

  Skel* operator->() { return skel_.get(); }

 private:
  // libbpf asks for the log only after a load has failed.
  static constexpr std::size_t kLogSize = std::size_t{1} << 20;
  struct Destroy {
    void operator()(Skel* skel) const { Skel::destroy(skel); }
  };
  Skeleton() = default;

  std::unique_ptr<std::string> log_;  // borrowed by skel_
  std::unique_ptr<Skel, Destroy> skel_;
};

}  // namespace tombolo::datapath
