// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <memory>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "base/blocking_stream.h"
#include "tls/openssl.h"

// A TLS client's end of a connection. Internal to tls.
namespace tombolo::tls {

// Records go through memory, so that every byte passes `below` and its deadlines.
class ClientStream : public BlockingStream {
 public:
  // `ssl` is a client's that has not begun.
  ClientStream(SslPtr ssl, std::unique_ptr<BlockingStream> below);

  absl::Status Handshake(MonotonicTime deadline);

  absl::Status Send(absl::string_view bytes, MonotonicTime deadline) override;
  absl::StatusOr<std::size_t> Receive(absl::Span<char> into, MonotonicTime deadline) override;
  absl::Status Wait(MonotonicTime deadline) override;
  bool Quiet() const override;
  void Abort() override { below_->Abort(); }

 private:
  absl::StatusOr<std::size_t> Run(absl::string_view what, absl::FunctionRef<int()> step,
                                  MonotonicTime deadline);
  absl::Status SendRecords(MonotonicTime deadline);
  absl::Status ReceiveRecords(absl::string_view what, MonotonicTime deadline);
  absl::Status Failed(absl::string_view what) const;

  const std::unique_ptr<BlockingStream> below_;
  const SslPtr ssl_;
  BIO* const in_;   // owned by ssl_
  BIO* const out_;  // owned by ssl_
  std::array<char, 16 * 1024> buffer_;
};

}  // namespace tombolo::tls
