// SPDX-License-Identifier: Apache-2.0
#include "crash_clients.h"

#include <chrono>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/raw_client.h"
#include "tls/certificate_builder.h"
#include "tls/csr.h"
#include "tls/digest.h"
#include "tls/pkcs7.h"

namespace tombolo::ca {
namespace {

constexpr auto kGone = std::chrono::seconds(60);  // without any answer: it does not come back

// The leaf of a whole answer; std::nullopt when it has been cut off.
std::optional<std::string> LeafOf(const std::string& response) {
  const std::size_t body = response.find("\r\n\r\n");
  if (body == std::string::npos) return std::nullopt;
  const auto der =
      tls::DecodeBody(absl::string_view(response).substr(body + 4), tls::kMaxPkcs7Size);
  if (!der.ok()) return std::nullopt;
  const auto pem = tls::ReadCertsOnly(*der);
  if (!pem.ok()) return std::nullopt;
  constexpr absl::string_view kEnd = "-----END CERTIFICATE-----\n";
  return pem->substr(0, pem->find(std::string(kEnd)) + kEnd.size());
}

}  // namespace

// One client: a connection to a replica, until that is gone.
class CrashClients::Client {
 public:
  Client(const Options& options, unsigned seed) : options_(options), random_(seed) {}

  std::string Ask(const std::string& csr, const std::string& token) {
    if (connection_ == nullptr) {
      replica_ = random_() % options_.ports.size();
      connection_ = std::make_unique<https::RawClient>(
          net::SocketAddress{net::IpAddress::Loopback(/*ipv6=*/false), options_.ports[replica_]},
          options_.context);
    }
    std::string answer;
    if (connection_->connected() &&
        connection_->SendEnrol(tls::EncodeBody(csr),
                               absl::StrCat("Authorization: Bearer ", token, "\r\n"))) {
      answer = connection_->ReadResponse();
    }
    return answer;
  }
  void Leave() { connection_ = nullptr; }
  std::size_t replica() const { return replica_; }

 private:
  const Options& options_;
  std::minstd_rand random_;
  std::size_t replica_ = 0;
  std::unique_ptr<https::RawClient> connection_;
};

CrashClients::CrashClients(Options options)
    : options_(std::move(options)), by_replica_(options_.ports.size()) {
  for (int i = 0; i < options_.pairs; ++i) tokens_.push_back(std::make_unique<Tokens>());
  for (unsigned i = 0; i < 2 * static_cast<unsigned>(options_.pairs); ++i) {
    threads_.emplace_back([this, i] { Work(*tokens_[i / 2], i + 1); });
  }
}

void CrashClients::Finish() {
  stopping_ = true;
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

void CrashClients::Work(Tokens& tokens, unsigned seed) {
  Client client(options_, seed);
  for (std::size_t i = 0; !stopping_; ++i) {
    Enrol(client, TokenAt(tokens, i));
    // Now and then to another replica, so that none is without clients.
    if (i % 4 == 3) client.Leave();
  }
}

std::string CrashClients::TokenAt(Tokens& tokens, std::size_t index) {
  const std::lock_guard lock(tokens.mutex);
  if (index == tokens.made.size()) tokens.made.push_back(options_.new_token());
  return tokens.made[index];
}

std::size_t CrashClients::tokens() const {
  std::size_t count = 0;
  for (const auto& pair : tokens_) count += pair->made.size();
  return count;
}

// Until there is a whole answer that is final.
void CrashClients::Enrol(Client& client, const std::string& token) {
  const std::string key = *tls::GenerateKey();
  const std::string csr = *tls::MakeCsr(key, *SpiffeId::Parse(options_.id));
  const auto deadline = std::chrono::steady_clock::now() + kGone;
  for (;;) {
    const std::string answer = client.Ask(csr, token);
    if (absl::StartsWith(answer, "HTTP/1.1 200")) {
      if (std::optional<std::string> leaf = LeafOf(answer)) {
        ++by_replica_[client.replica()];
        const std::lock_guard lock(mutex_);
        acknowledged_.push_back({.token = token,
                                 .key = tls::Hex(tls::ParseCsr(csr)->key.id()),
                                 .leaf = *std::move(leaf)});
        return;
      }
    } else if (absl::StartsWith(answer, "HTTP/1.1 401")) {
      ++refused_;
      return;
    } else if (!answer.empty() && !absl::StartsWith(answer, "HTTP/1.1 503") &&
               !absl::StartsWith(answer, "HTTP/1.1 429")) {
      const std::lock_guard lock(mutex_);
      strange_.push_back(answer.substr(0, 200));
    }
    ++cut_;
    client.Leave();
    if (std::chrono::steady_clock::now() > deadline) {
      const std::lock_guard lock(mutex_);
      strange_.push_back("nobody answers any more");
      return;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

}  // namespace tombolo::ca
