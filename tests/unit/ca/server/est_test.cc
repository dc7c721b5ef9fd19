// SPDX-License-Identifier: Apache-2.0
// The protocol as curl and openssl see it.
#include "server_case.h"
#include "testing/test_pki.h"

namespace tombolo::ca::https {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

using EstTest = CurlCase;

TEST_F(EstTest, GivesTheRootsToAnybody) {
  Start();
  const Response response = Curl("", "/.well-known/est/cacerts");
  EXPECT_EQ(response.status, "200");
  EXPECT_THAT(response.head, HasSubstr("Content-Type: application/pkcs7-mime\r\n"));
  Write("cacerts.b64", response.body);
  const auto read = Openssl(
      "base64 -d -in cacerts.b64 -out cacerts.der && openssl pkcs7 -inform DER -in cacerts.der "
      "-print_certs -out cacerts.pem && openssl x509 -in cacerts.pem -out one.pem && openssl x509 "
      "-in root.pem -out other.pem && cmp one.pem other.pem");
  EXPECT_EQ(read.status, 0) << read.output;
}

TEST_F(EstTest, SaysWhatAKeyShouldBe) {
  Start();
  const Response response = Curl("", "/.well-known/est/csrattrs");
  EXPECT_EQ(response.status, "200");
  EXPECT_THAT(response.head, HasSubstr("Content-Type: application/csrattrs\r\n"));
  Write("attrs.b64", response.body);
  const auto parsed = Openssl("base64 -d -in attrs.b64 | openssl asn1parse -inform DER");
  EXPECT_EQ(parsed.status, 0);
  EXPECT_THAT(parsed.output, HasSubstr(":id-ecPublicKey"));
  EXPECT_THAT(parsed.output, HasSubstr(":prime256v1"));
  EXPECT_THAT(parsed.output, HasSubstr(":ecdsa-with-SHA256"));
  EXPECT_THAT(parsed.output, Not(HasSubstr("Error")));
}

TEST_F(EstTest, EnrolsByBearerToken) {
  Start();
  ExpectEnrolled(Curl(NewCsr() + " -H 'Authorization: Bearer t0ken'", kEnrol));
  ASSERT_THAT(authority_.requests(), SizeIs(1));
  const EnrolRequest request = authority_.requests().front();
  EXPECT_EQ(request.csr, Read("csr.der"));
  EXPECT_EQ(request.caller.token, "t0ken");
  EXPECT_EQ(request.caller.address, "127.0.0.1");
  EXPECT_FALSE(request.caller.peer);
  EXPECT_FALSE(request.renew);
}

TEST_F(EstTest, EnrolsByPassword) {
  Start();
  ExpectEnrolled(Curl(NewCsr() + " -u anybody:t0ken", kEnrol));
  EXPECT_EQ(authority_.requests().front().caller.token, "t0ken");
}

TEST_F(EstTest, EnrolsBySvidAndTellsWhichOne) {
  Start();
  const tls::Credentials::Pem own = Issue(kNodePath);
  ExpectEnrolled(Curl(As(own) + NewCsr() + " -H 'Authorization: Bearer evidence'", kEnrol));
  ASSERT_THAT(authority_.requests(), SizeIs(1));
  const Caller caller = authority_.requests().front().caller;
  ASSERT_TRUE(caller.peer);
  EXPECT_EQ(caller.peer->id.path(), kNodePath);
  EXPECT_EQ(caller.peer->serial, (*tls::Credentials::FromPem(own))->serial());
  EXPECT_EQ(caller.token, "evidence");
}

TEST_F(EstTest, RenewsBySvidOnly) {
  Start();
  const std::string csr = NewCsr();
  ExpectEnrolled(Curl(As(Issue(kWorkloadPath)) + csr, kReenrol));
  ASSERT_THAT(authority_.requests(), SizeIs(1));
  EXPECT_TRUE(authority_.requests().front().renew);
  EXPECT_EQ(Curl(csr + " -H 'Authorization: Bearer t'", kReenrol).status, "401");
  EXPECT_THAT(authority_.requests(), SizeIs(1));
}

TEST_F(EstTest, WithoutCredentialThereIsAChallenge) {
  Start();
  const std::string csr = NewCsr();
  const Response nobody = Curl(csr, kEnrol);
  EXPECT_EQ(nobody.status, "401");
  EXPECT_THAT(nobody.head, HasSubstr("WWW-Authenticate: Basic realm="));
  EXPECT_THAT(nobody.head, HasSubstr("WWW-Authenticate: Bearer realm="));
  EXPECT_THAT(nobody.head, HasSubstr("Content-Type: text/plain"));
  EXPECT_EQ(nobody.body, "neither a token nor a client certificate\n");
  EXPECT_EQ(Curl(csr + " -H 'Authorization: Digest x'", kEnrol).status, "401");
  EXPECT_EQ(Curl(csr + " -H 'Authorization: Bearer'", kEnrol).status, "400");
  EXPECT_EQ(Curl(csr + " -H 'Authorization: Bearer a' -H 'Authorization: Bearer b'", kEnrol).status,
            "400");
  // curl asks without a password first, as EST clients do, and then on the same connection.
  const Response asked = Curl(csr + " --anyauth -u a:t0ken", kEnrol);
  EXPECT_THAT(asked.head, StartsWith("HTTP/1.1 401"));
  ExpectEnrolled(asked);
  EXPECT_EQ(server_->counters().accepted, 5U);
}

TEST_F(EstTest, PassesOnWhatTheAuthoritySays) {
  Start();
  const std::string csr = NewCsr() + " -H 'Authorization: Bearer t'";
  const std::pair<absl::Status, const char*> table[] = {
      {absl::InvalidArgumentError("why"), "400"},   {absl::UnauthenticatedError("why"), "401"},
      {absl::PermissionDeniedError("why"), "403"},  {absl::NotFoundError("why"), "404"},
      {absl::ResourceExhaustedError("why"), "429"}, {absl::UnavailableError("why"), "503"},
      {absl::InternalError("why"), "500"},
  };
  for (const auto& [error, status] : table) {
    authority_.ReplyWith([error = error](const EnrolRequest&) { return error; });
    const Response response = Curl(csr, kEnrol);
    EXPECT_EQ(response.status, status) << error;
    const bool busy = response.status == "429" || response.status == "503";
    EXPECT_EQ(response.head.find("Retry-After: ") != std::string::npos, busy) << response.head;
    EXPECT_EQ(response.body == "why\n", response.status < "429") << response.body;
    EXPECT_EQ(std::count(response.body.begin(), response.body.end(), '\n'), 1);
  }
  authority_.ReplyWith([](const EnrolRequest&) { return "not PEM"; });
  EXPECT_EQ(Curl(csr, kEnrol).status, "500");
}

TEST_F(EstTest, RefusesBodiesThatAreNoRequests) {
  Start();
  const std::string token = " -H 'Authorization: Bearer t'";
  const std::string type = " -H 'Content-Type: application/pkcs10'";
  NewCsr();
  EXPECT_EQ(Curl("--data-binary @csr.b64" + token, kEnrol).status, "415");
  EXPECT_EQ(Curl("--data-binary @csr.b64 -H 'Content-Type: text/plain'" + token, kEnrol).status,
            "415");
  EXPECT_EQ(
      Curl("--data-binary @csr.b64 -H 'Content-Encoding: gzip'" + type + token, kEnrol).status,
      "415");
  EXPECT_EQ(Curl("--data-binary @csr.der" + type + token, kEnrol).status, "400");
  EXPECT_EQ(Curl("--data-binary 'AAAA'" + type + token, kEnrol).status, "400");
  EXPECT_THAT(authority_.requests(), SizeIs(1)) << "what is base64 is for the authority to judge";
  EXPECT_EQ(Curl("--data-binary @csr.b64 -H 'Expect: 200-ok'" + type + token, kEnrol).status,
            "417");
}

TEST_F(EstTest, RefusesBodiesThatAreTooLarge) {
  Start();
  const std::string arguments =
      "--data-binary @large -H 'Content-Type: application/pkcs10' -H 'Authorization: Bearer t'";
  Write("large", tls::EncodeBody(std::string(tls::kMaxCsrSize + 1, 'x')));
  EXPECT_EQ(Curl(arguments, kEnrol).status, "413");
  Write("large", std::string(4 << 20, 'A'));
  EXPECT_EQ(Curl(arguments, kEnrol).status, "413");
  EXPECT_EQ(Curl(arguments + " -H 'Expect: 100-continue'", kEnrol).status, "413");
  Write("large", std::string(200000, 'A'));
  EXPECT_EQ(Curl(arguments + " -H 'Transfer-Encoding: chunked'", kEnrol).status, "413");
  Write("large", tls::EncodeBody(std::string(tls::kMaxCsrSize, 'x')));
  EXPECT_EQ(Curl(arguments, kEnrol).status, "400") << "fits, and is none";
  EXPECT_THAT(authority_.requests(), SizeIs(1));
}

TEST_F(EstTest, TakesChunkedBodiesAndExpectations) {
  Start();
  const std::string csr = NewCsr() + " -H 'Authorization: Bearer t'";
  ExpectEnrolled(Curl(csr + " -H 'Transfer-Encoding: chunked'", kEnrol));
  // Without the answer curl would wait for a second.
  const Response expected = Curl(csr + " -H 'Expect: 100-continue' --expect100-timeout 20", kEnrol);
  EXPECT_THAT(expected.head, StartsWith("HTTP/1.1 100 Continue"));
  ExpectEnrolled(expected);
}

TEST_F(EstTest, GivesBundleAndCrlsToAnybody) {
  Start();
  const Response bundle = Curl("", "/.well-known/spiffe/bundle");
  EXPECT_EQ(bundle.status, "200");
  EXPECT_EQ(bundle.body, "{\"spiffe_sequence\":7}\n");
  EXPECT_THAT(bundle.head, HasSubstr("Content-Type: application/json\r\n"));
  EXPECT_THAT(bundle.head, HasSubstr("ETag: \"7\"\r\n"));
  const Response same = Curl("-H 'If-None-Match: \"7\"'", "/.well-known/spiffe/bundle");
  EXPECT_EQ(same.status, "304");
  EXPECT_THAT(same.body, IsEmpty());
  EXPECT_EQ(Curl("-H 'If-None-Match: \"8\"'", "/.well-known/spiffe/bundle").status, "200");
  const Response crl = Curl("", "/crl/" + std::string(64, 'a') + ".crl");
  EXPECT_EQ(crl.status, "200");
  EXPECT_THAT(crl.head, HasSubstr("Content-Type: application/pkix-crl\r\n"));
  EXPECT_EQ(crl.body, "\x30\x03 crl");
  EXPECT_EQ(Curl("", "/crl/" + std::string(64, 'b') + ".crl").status, "404");
}

TEST_F(EstTest, HeadIsGetWithoutTheBody) {
  Start();
  const Response head = Curl("--head", "/.well-known/spiffe/bundle");
  EXPECT_EQ(head.status, "200");
  EXPECT_THAT(head.head, HasSubstr("Content-Length: 22\r\n"));
  EXPECT_EQ(Curl("--head", "/nothing").status, "404");
  EXPECT_EQ(Curl("--head", kEnrol).status, "405");
}

TEST_F(EstTest, OtherPathsAndMethodsAreRefused) {
  Start();
  EXPECT_EQ(Curl("", "/").status, "404");
  EXPECT_EQ(Curl("", "/.well-known/est/serverkeygen").status, "404");
  const Response get = Curl("", kEnrol);
  EXPECT_EQ(get.status, "405");
  EXPECT_THAT(get.head, HasSubstr("Allow: POST\r\n"));
  const Response put = Curl("-X DELETE", "/.well-known/est/cacerts");
  EXPECT_EQ(put.status, "405");
  EXPECT_THAT(put.head, HasSubstr("Allow: GET, HEAD\r\n"));
}

TEST_F(EstTest, HasNothingToSayBeforeSomethingIsPublished) {
  Handlers handlers = authority_.handlers();
  handlers.published = [] { return nullptr; };
  server_ = *HttpsServer::Start({.listen = {*net::SocketAddress::Parse("127.0.0.1:0")}},
                                ServerContext(pki_.Bundle()), handlers);
  for (const char* path : {"/.well-known/est/cacerts", "/.well-known/spiffe/bundle"}) {
    const Response response = Curl("", path);
    EXPECT_EQ(response.status, "503") << path;
    EXPECT_THAT(response.head, HasSubstr("Retry-After: "));
  }
  EXPECT_EQ(Curl(As(Issue(kNodePath)), "/v1/trust").status, "503");
}

TEST_F(EstTest, RefusesUntrustedClientsAndOldTls) {
  Start();
  const testing::TestPki other;
  EXPECT_THAT(Curl(As(other.Issue(kNodePath)), "/.well-known/est/cacerts").status,
              HasSubstr("alert"));
  const auto stolen = ClusterPki::Issue(pki_.issuer("west"), kNodePath, pki_.Bundle());
  EXPECT_THAT(Curl(As(stolen), "/.well-known/est/cacerts").status, HasSubstr("alert"));
  EXPECT_THAT(Curl("--tls-max 1.2", "/.well-known/est/cacerts").status, HasSubstr("alert"));
  const auto& failed = server_->counters().handshakes_failed;
  const auto count = [&](tls::HandshakeFailure failure) {
    return failed[static_cast<std::size_t>(failure)].load();
  };
  EXPECT_TRUE(Eventually([&] { return count(tls::HandshakeFailure::kProtocol) == 1; }));
  EXPECT_EQ(count(tls::HandshakeFailure::kUntrusted), 1U);
  EXPECT_EQ(count(tls::HandshakeFailure::kWrongCluster), 1U);
}

}  // namespace
}  // namespace tombolo::ca::https
