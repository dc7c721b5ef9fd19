// SPDX-License-Identifier: Apache-2.0
#include "tls/kernel_tls_probe.h"

#include <algorithm>
#include <cerrno>
#include <memory>
#include <numeric>
#include <optional>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/io_context.hpp>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
#include "net/socket.h"
#include "tls/digest.h"
#include "tls/kernel_record_stream.h"
#include "tls/kernel_splice_probe.h"
#include "tls/kernel_tls.h"
#include "tls/record_protection.h"
#include "tls/user_record_stream.h"

namespace tombolo::tls {
namespace {

constexpr Duration kPatience = std::chrono::seconds(2);
// Two whole records and a part, so that pieces and counters matter.
constexpr std::size_t kBytes = 2 * kMaxPlaintext + 1000;

struct SuiteUnderTest {
  Suite suite;
  const char* name;
  std::size_t secret_size;
  bool KernelTls::*works;
};
constexpr SuiteUnderTest kSuites[] = {
    {Suite::kAes128GcmSha256, "TLS_AES_128_GCM_SHA256", 32, &KernelTls::aes_128_gcm},
    {Suite::kAes256GcmSha384, "TLS_AES_256_GCM_SHA384", 48, &KernelTls::aes_256_gcm},
    {Suite::kChaCha20Poly1305Sha256, "TLS_CHACHA20_POLY1305_SHA256", 32,
     &KernelTls::chacha20_poly1305},
};

absl::Status Differs(absl::string_view what) {
  return absl::InternalError(absl::StrCat(what, " did not arrive as it was sent"));
}

// One direction: a control record, more data than one record holds, another control
// record, and the end.
Awaitable<absl::Status> SendAll(RecordStream& stream, std::vector<std::uint8_t> data) {
  const MonotonicTime deadline = After(kPatience);
  const auto bytes = absl::MakeConstSpan(data);
  CO_RETURN_IF_ERROR(co_await stream.SendControl(bytes.first(10), deadline));
  CO_RETURN_IF_ERROR(co_await stream.Send(bytes, deadline));
  CO_RETURN_IF_ERROR(co_await stream.SendControl(bytes.first(20), deadline));
  co_await stream.CloseNotify(deadline);
  co_return absl::OkStatus();
}

bool Equal(absl::Span<const std::uint8_t> a, absl::Span<const std::uint8_t> b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin());
}

Awaitable<absl::Status> ExpectControl(RecordStream& stream, absl::Span<const std::uint8_t> bytes) {
  CO_ASSIGN_OR_RETURN(const Record record, co_await stream.Receive(After(kPatience)));
  if (record.type != kControl || !Equal(record.payload, bytes)) {
    co_return Differs("a control record");
  }
  co_return absl::OkStatus();
}

Awaitable<absl::Status> ReceiveAll(RecordStream& stream, std::vector<std::uint8_t> expected) {
  const auto bytes = absl::MakeConstSpan(expected);
  CO_RETURN_IF_ERROR(co_await ExpectControl(stream, bytes.first(10)));
  for (std::size_t done = 0; done < bytes.size();) {
    CO_ASSIGN_OR_RETURN(const Record record, co_await stream.Receive(After(kPatience)));
    const std::size_t size = std::min(record.payload.size(), bytes.size() - done);
    if (record.type != kApplicationData || !Equal(record.payload, bytes.subspan(done, size))) {
      co_return Differs("application data");
    }
    done += size;
  }
  CO_RETURN_IF_ERROR(co_await ExpectControl(stream, bytes.first(20)));
  const auto end = co_await stream.Receive(After(kPatience));
  if (!absl::IsOutOfRange(end.status())) co_return Differs("close_notify");
  co_return absl::OkStatus();
}

Awaitable<absl::Status> Converse(RecordStream& kernel, RecordStream& user) {
  using namespace asio::experimental::awaitable_operators;  // NOLINT: the operators' only home
  std::vector<std::uint8_t> data(kBytes);
  std::iota(data.begin(), data.end(), 0);
  CO_RETURN_IF_ERROR(co_await SendAll(kernel, data));
  CO_RETURN_IF_ERROR(co_await ReceiveAll(user, data));
  CO_RETURN_IF_ERROR(co_await SendAll(user, data));
  co_return co_await ReceiveAll(kernel, data);
}

// A loopback connection with one end in the kernel and the other in user space.
struct Pair {
  std::unique_ptr<RecordStream> kernel, user;
};

TrafficSecrets SecretsOf(const SuiteUnderTest& suite, absl::Span<const std::uint8_t> mine,
                         absl::Span<const std::uint8_t> theirs) {
  return {.suite = suite.suite,
          .send = Secret(mine.first(suite.secret_size)),
          .receive = Secret(theirs.first(suite.secret_size))};
}

absl::StatusOr<Pair> MakePair(net::Poller& poller, const SuiteUnderTest& suite,
                              net::BufferPool& pool, const KernelTls& works) {
  ASSIGN_OR_RETURN(auto sockets, net::LoopbackPair());
  RETURN_IF_ERROR(kernel::AttachUlp(sockets.first.get()));
  ASSIGN_OR_RETURN(auto kernel_end, net::AsyncFd::Adopt(poller, std::move(sockets.first)));
  ASSIGN_OR_RETURN(auto user_end, net::AsyncFd::Adopt(poller, std::move(sockets.second)));
  std::array<std::uint8_t, Secret::kMaxSize> a, b;
  for (std::size_t i = 0; i < Secret::kMaxSize; i += 16) {
    std::ranges::copy(Random128(), a.begin() + i);
    std::ranges::copy(Random128(), b.begin() + i);
  }
  Pair pair;
  ASSIGN_OR_RETURN(pair.kernel, KernelRecordStream::Create(std::move(kernel_end),
                                                           SecretsOf(suite, a, b), pool, works));
  ASSIGN_OR_RETURN(auto keys, RecordKeys::Derive(SecretsOf(suite, b, a)));
  pair.user = std::make_unique<UserRecordStream>(std::move(user_end), std::move(keys), pool);
  return pair;
}

// Runs `converse(poller, kernel stream, user stream)` over a connection of its own.
using Conversation =
    std::function<Awaitable<absl::Status>(net::Poller&, RecordStream&, RecordStream&)>;
absl::Status Try(const SuiteUnderTest& suite, const KernelTls& works,
                 const Conversation& converse) {
  asio::io_context io;
  ASSIGN_OR_RETURN(const auto poller, net::Poller::Create(io));
  net::BufferPool pool;
  ASSIGN_OR_RETURN(const Pair pair, MakePair(*poller, suite, pool, works));
  absl::Status result = absl::DeadlineExceededError("timed out");
  asio::co_spawn(io, converse(*poller, *pair.kernel, *pair.user),
                 [&](std::exception_ptr error, absl::Status status) {
                   if (!error) result = std::move(status);
                   poller->Stop();
                 });
  poller->Run();  // every wait in there has a deadline
  return result;
}

absl::Status TrySuite(const SuiteUnderTest& suite) {
  return Try(suite, {.rekey = true}, [](net::Poller&, RecordStream& kernel, RecordStream& user) {
    return Converse(kernel, user);
  });
}

// A record that is not application data is opened into the reader's buffer, and then once more
// elsewhere. Kernels that have not gone back to the buffer's beginning then (CVE-2026-74611: 6.1 to
// 6.1.190, 6.12 to 6.12.113 and others) write behind it: where there is no room, EFAULT.
Awaitable<absl::Status> ConverseUnpadded(RecordStream& kernel, RecordStream& user) {
  const std::vector<std::uint8_t> sent(10, 'c');
  CO_RETURN_IF_ERROR(co_await user.SendControl(sent, After(kPatience)));
  std::vector<std::uint8_t> room(sent.size());
  CO_RETURN_IF_ERROR(co_await kernel.socket().WaitReadable(After(kPatience)));
  const kernel::Arrived arrived = kernel::Receive(kernel.socket().get(), absl::MakeSpan(room));
  if (arrived.size < 0) co_return ErrnoStatus(errno, "receive a control record");
  if (arrived.type != kControl || room != sent) co_return Differs("a control record");
  co_return co_await Converse(kernel, user);
}

absl::Status TryNoPadding(const SuiteUnderTest& suite) {
  return Try(suite, {.no_padding = true},
             [](net::Poller&, RecordStream& kernel, RecordStream& user) {
               return ConverseUnpadded(kernel, user);
             });
}

absl::Status TryRekey(const SuiteUnderTest& suite, bool no_padding) {
  return Try(suite, {.rekey = true, .no_padding = no_padding},
             [](net::Poller&, RecordStream& kernel, RecordStream& user) {
               kernel.RekeyEvery(1);
               user.RekeyEvery(1);
               return Converse(kernel, user);
             });
}

// What has keys must not get into a sockmap. What is in one already may take keys on older
// kernels; those that refuse close the socket here (see InstallKey).
absl::Status TrySockmap(const PutIntoSockmap& put_into_sockmap) {
  ASSIGN_OR_RETURN(auto sockets, net::LoopbackPair());
  RETURN_IF_ERROR(put_into_sockmap(sockets.second.get()));  // that it works at all
  RETURN_IF_ERROR(kernel::AttachUlp(sockets.first.get()));
  TrafficKey key;
  key.key_size = 16;
  RETURN_IF_ERROR(kernel::InstallKey(sockets.first.get(), kernel::Direction::kSend, key));
  if (put_into_sockmap(sockets.first.get()).ok()) {
    return absl::FailedPreconditionError("the kernel lets a socket with TLS into a sockmap");
  }
  return absl::OkStatus();
}

}  // namespace

KernelTlsReport ProbeKernelTls(const PutIntoSockmap& put_into_sockmap) {
  KernelTlsReport report;
  KernelTls& works = report.works;
  const auto check = [&](std::string name, absl::Status result) {
    const bool ok = result.ok();
    report.checks.push_back({std::move(name), std::move(result)});
    return ok;
  };
  for (const SuiteUnderTest& suite : kSuites) {
    works.*suite.works = check(suite.name, TrySuite(suite));
  }
  if (!works.any()) return report;
  const auto* suite =
      std::ranges::find_if(kSuites, [&](const SuiteUnderTest& each) { return works.*each.works; });
  works.no_padding = check("no padding", TryNoPadding(*suite));
  works.rekey = check("rekey", TryRekey(*suite, works.no_padding));
  works.splice_send = check("splice send", Try(*suite, {.splice_send = true}, TrySpliceSend));
  works.splice_receive = check(
      "splice receive",
      Try(*suite, {.no_padding = works.no_padding, .splice_receive = true}, TrySpliceReceive));
  if (put_into_sockmap && !check("sockmap exclusion", TrySockmap(put_into_sockmap))) works = {};
  return report;
}

}  // namespace tombolo::tls
