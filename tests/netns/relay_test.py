# SPDX-License-Identifier: Apache-2.0
"""Bytes, ends and resets of connections that cross two agents."""
from testing import case, driver
from testing.case import scaled
from testing.topology import TUNNEL_PORT, Endpoint


class RelayTest(case.PairCase):
    """What an application does and what the other one sees of it."""

    topology_name = "relay"
    DIGEST = "sha256"
    GIGABYTE = scaled(1 << 30)
    MIXED = 200

    @classmethod
    def build(cls):
        super().build()
        for cluster in cls.topo.clusters:
            cluster.agent.config = case.PATIENT

    def play(self, client_script, server_script):
        """Both sides' reports of one connection through the VIP."""
        server = self.serve(server_script)
        try:
            client = driver.connect(self.client, self.service.vip, 80, client_script)
            return client, server.next()
        finally:
            server.kill()

    def test_curl_of_a_gigabyte(self):
        url = f"http://{self.service.vip}/bytes/{self.GIGABYTE}"
        server = self.serve("http")
        done = self.client.run(["sh", "-c", f"curl -sS {url} | {self.DIGEST}sum"], timeout=500)
        server.kill()
        self.assertEqual(done.stderr, "")
        self.assertEqual(done.stdout.split()[0],
                         driver.pattern_digest("server", self.GIGABYTE, self.DIGEST))

    def test_upload(self):
        size = scaled(256 << 20)
        client, server = self.play(f"send:{size},shutdown,recv-eof", "recv-eof")
        self.assert_done(client, sent=size, received=0)
        self.assert_done(server, received=size)

    def test_200_mixed_at_once(self):
        server = self.serve("exchange-server")
        client = self.peer("mixed", self.MIXED, 1)
        for _ in range(self.MIXED):
            result = client.next()
            self.assert_done(result, sent=result["up"], received=result["down"])
        for _ in range(self.MIXED):
            result = server.next()
            self.assert_done(result, received=result["expected"])
        server.kill()

    def test_client_ends_first_and_server_goes_on_for_seconds(self):
        client, server = self.play("send:5000,shutdown,recv-eof",
                                   "recv-eof,drip:30:0.1,shutdown")
        self.assert_done(client, sent=5000, received=30000)
        self.assert_done(server, received=5000)
        self.assertGreater(client["seconds"], 2.5)

    def test_server_ends_first_and_client_goes_on_for_seconds(self):
        client, server = self.play("recv-eof,drip:30:0.1,shutdown",
                                   "send:5000,shutdown,recv-eof")
        self.assert_done(client, received=5000)
        self.assert_done(server, received=30000)
        self.assertGreater(server["seconds"], 2.5)

    def test_client_resets(self):
        client, server = self.play("send:1000,read-text,reset", "recv:1000,text:x,recv-eof")
        self.assert_done(client)
        self.assert_intact(server, received=1000)
        self.assertEqual(server["end"], "reset")

    def test_server_resets(self):
        client, server = self.play("send:1000,recv-eof", "recv:1000,reset")
        self.assert_done(server)
        self.assertEqual(client["end"], "reset", client)

    def test_server_resets_a_client_that_is_sending(self):
        client, _ = self.play("drip:600:0.05:100000", "recv:50000,reset")
        self.assertEqual(client["end"], "reset", client)

    def test_server_dies_in_the_middle(self):
        server = self.serve("send:1000,wait")
        client = self.peer("connect", "recv:1000,text:x,recv-eof")
        self.west.agent.wait_open(to_peer=1000, from_peer=1)
        server.kill()  # with a byte unread its kernel sends a reset
        self.assertEqual(client.next()["end"], "reset")

    def test_server_speaks_first(self):
        client, server = self.play("recv:100000,send:10,shutdown,recv-eof",
                                   "send:100000,recv-eof")
        self.assert_done(client, received=100000)
        self.assert_done(server, received=10)

    def test_silent_client(self):
        client, server = self.play("sleep:2,shutdown,recv-eof", "recv-eof")
        self.assert_done(client, sent=0, received=0)
        self.assert_done(server, received=0)

    def test_client_that_says_nothing_and_ends_at_once(self):
        client, server = self.play("shutdown,recv-eof", "recv-eof")
        self.assert_done(client, sent=0, received=0)
        self.assert_done(server, received=0)

    def test_clients_that_send_and_close_at_once(self):
        """As loggers do. The agent may not have accepted yet when the socket is gone."""
        count = scaled(1000)
        server = self.serve("recv-eof")
        client = self.peer("repeat", "send:10", count)
        self.assertEqual(client.next(), {"done": count})
        for _ in range(count):
            self.assert_done(server.next(), received=10)
        server.kill()

    def test_slow_reader_gets_everything(self):
        client, server = self.play("sleep:2,recv-eof", "send:20000000,shutdown,recv-eof")
        self.assert_done(client, received=20000000)
        self.assert_done(server)

    def _sends_with(self, call):
        size = scaled(64 << 20)
        client, server = self.play(f"{call}:{size},shutdown,recv-eof",
                                   f"recv:{size},{call}:{size},shutdown,recv-eof")
        self.assert_done(client, sent=size, received=size)
        self.assert_done(server, sent=size, received=size)

    def test_splice(self):
        self._sends_with("splice")

    def test_splice_to_receive(self):
        client, server = self.play("splice-recv:10000000,shutdown", "send:10000000,recv-eof")
        self.assert_done(client, received=10000000)
        self.assert_done(server)

    def test_sendfile(self):
        self._sends_with("sendfile")

    def test_zerocopy(self):
        self._sends_with("zerocopy")

    def test_fast_open(self):
        client, server = self.play("fastopen:1000,send:1000,shutdown,recv-eof",
                                   "recv-eof,send:500")
        self.assert_done(client, sent=2000, received=500)
        self.assert_done(server, received=2000)

    def test_the_application_sees_the_vip(self):
        client, _ = self.play("names,send:1,recv-eof", "recv:1")
        self.assertEqual(client["peername"], [self.service.vip, 80])

    def test_curl_names_the_vip(self):
        server = self.serve("http")
        done = self.client.run(["curl", "-sS", "-o", "/dev/null", "-w",
                                "%{remote_ip}:%{remote_port}",
                                f"http://{self.service.vip}/bytes/5"])
        server.kill()
        self.assertEqual(done.stdout, f"{self.service.vip}:80", done.stderr)


class Ipv6RelayTest(case.PairCase):
    """IPv6 everywhere: the VIP, the endpoint, and the tunnel."""

    topology_name = "relay6"

    @classmethod
    def build(cls):
        super().build()
        for cluster in cls.topo.clusters:
            cluster.tunnel = f"[{cluster.ip6}]:{TUNNEL_PORT}"
        cls.service.ports[80] = [Endpoint(cls.server, cls.PORT, address=cls.server.ip6)]

    def _exchange(self, vip):
        server = driver.serve(self.server, self.PORT, "exchange-server",
                              address=self.server.ip6)
        client = driver.connect(self.client, vip, 80, "names,exchange:1000000:3000000")
        self.assert_done(client, sent=1000000, received=3000000)
        self.assert_done(server.next(), received=1000000)
        server.kill()
        self.assertEqual(client["peername"], [vip, 80])

    def test_ipv6_client(self):
        self._exchange(self.service.vip6)

    def test_ipv4_client_of_an_ipv6_endpoint(self):
        self._exchange(self.service.vip)


if __name__ == "__main__":
    case.main()
