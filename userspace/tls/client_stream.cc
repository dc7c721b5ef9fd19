// SPDX-License-Identifier: Apache-2.0
#include "tls/client_stream.h"

#include <algorithm>
#include <utility>

#include <openssl/err.h>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace tombolo::tls {
namespace {

constexpr std::size_t kMaxStep = 1 << 30;  // OpenSSL counts in int

int StepSize(std::size_t size) { return static_cast<int>(std::min(size, kMaxStep)); }

}  // namespace

ClientStream::ClientStream(SslPtr ssl, std::unique_ptr<BlockingStream> below)
    : below_(std::move(below)),
      ssl_(std::move(ssl)),
      in_(BIO_new(BIO_s_mem())),
      out_(BIO_new(BIO_s_mem())) {
  SSL_set_bio(ssl_.get(), in_, out_);
  SSL_set_connect_state(ssl_.get());
}

absl::Status ClientStream::Handshake(MonotonicTime deadline) {
  return Run(
             "TLS handshake", [this] { return SSL_do_handshake(ssl_.get()); }, deadline)
      .status();
}

absl::Status ClientStream::Send(absl::string_view bytes, MonotonicTime deadline) {
  while (!bytes.empty()) {
    ASSIGN_OR_RETURN(
        const std::size_t sent,
        Run(
            "TLS send", [&] { return SSL_write(ssl_.get(), bytes.data(), StepSize(bytes.size())); },
            deadline));
    if (sent == 0) return absl::UnavailableError("TLS send: the peer has closed the connection");
    bytes.remove_prefix(sent);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::size_t> ClientStream::Receive(absl::Span<char> into, MonotonicTime deadline) {
  return Run(
      "TLS receive", [&] { return SSL_read(ssl_.get(), into.data(), StepSize(into.size())); },
      deadline);
}

bool ClientStream::Quiet() const {
  return SSL_pending(ssl_.get()) == 0 && BIO_ctrl_pending(in_) == 0 && below_->Quiet();
}

absl::Status ClientStream::Wait(MonotonicTime deadline) {
  if (SSL_pending(ssl_.get()) > 0 || BIO_ctrl_pending(in_) > 0) return absl::OkStatus();
  return below_->Wait(deadline);
}

// What `step` returned, 0 for the peer's end. Moves records for it meanwhile.
absl::StatusOr<std::size_t> ClientStream::Run(absl::string_view what, absl::FunctionRef<int()> step,
                                              MonotonicTime deadline) {
  for (;;) {
    ERR_clear_error();
    const int result = step();
    const int why = SSL_get_error(ssl_.get(), result);
    // An alert that says why goes out even when the step has failed.
    const absl::Status sent = SendRecords(deadline);
    if (why != SSL_ERROR_NONE && why != SSL_ERROR_WANT_READ && why != SSL_ERROR_ZERO_RETURN) {
      return Failed(what);
    }
    RETURN_IF_ERROR(sent);
    if (why == SSL_ERROR_NONE) return static_cast<std::size_t>(result);
    if (why == SSL_ERROR_ZERO_RETURN) return std::size_t{0};
    RETURN_IF_ERROR(ReceiveRecords(what, deadline));
  }
}

absl::Status ClientStream::SendRecords(MonotonicTime deadline) {
  const char* data = nullptr;
  const long size = BIO_get_mem_data(out_, &data);
  if (size <= 0) return absl::OkStatus();
  const absl::Status sent = below_->Send({data, static_cast<std::size_t>(size)}, deadline);
  BIO_reset(out_);
  return sent;
}

absl::Status ClientStream::ReceiveRecords(absl::string_view what, MonotonicTime deadline) {
  ASSIGN_OR_RETURN(const std::size_t got, below_->Receive(absl::MakeSpan(buffer_), deadline));
  // Not TLS's own end: what was received may have been cut off by anybody.
  if (got == 0) return absl::UnavailableError(absl::StrCat(what, ": the connection was cut"));
  if (BIO_write(in_, buffer_.data(), static_cast<int>(got)) == static_cast<int>(got)) {
    return absl::OkStatus();
  }
  return OpensslStatus(absl::StatusCode::kInternal, what);
}

absl::Status ClientStream::Failed(absl::string_view what) const {
  const long verified = SSL_get_verify_result(ssl_.get());
  if (verified == X509_V_OK) return OpensslStatus(absl::StatusCode::kUnavailable, what);
  ERR_clear_error();
  return absl::PermissionDeniedError(
      absl::StrCat(what, ": the server's certificate: ", X509_verify_cert_error_string(verified)));
}

}  // namespace tombolo::tls
