# SPDX-License-Identifier: Apache-2.0
"""Applications that know nothing of Tombolo, between clusters behind two gateways each. Every
server is the only one of its service; the clients are in another cluster, some milliseconds off."""
import hashlib
import importlib.util
import os
import re
import time

from testing import applications, case, driver, host
from testing.topology import Endpoint

# By service, as each of them is used to.
PORTS = {"postgres": 5432, "redis": 6379, "web": 80, "ssh": 22, "stream": 50051}
OWN_PORTS = PORTS | {"ssh": 2222}  # of the servers, which are not all privileged
LARGE = case.scaled(8 << 20, 1 << 16)
ROUNDS = case.scaled(40, 5)  # of each client: a transaction, or hundreds of requests
IDLE = 1  # seconds after which something is done about an unused tunnel


def sha256(path):
    """Of a file."""
    with open(path, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


class ApplicationsCase(case.TopologyCase):
    """Clients in east, a server of each kind in west, and the stream's in south, too."""

    config = {}

    @classmethod
    def setUpClass(cls):
        case.need("nginx", "pg_isready", "psql", "redis-benchmark", "redis-cli", "redis-server",
                  "scp", "setpriv", "ssh", "ssh-keygen", "wrk")
        for name in ("initdb", "postgres", "pgbench"):
            if applications.postgres_program(name) is None:
                case.skip_without(f"the {name} command")
        if not os.access("/usr/sbin/sshd", os.X_OK):
            case.skip_without("the sshd command")
        if importlib.util.find_spec("grpc") is None:
            case.skip_without("Python's module grpc")
        super().setUpClass()

    @classmethod
    def build(cls):
        cls.east, cls.west, cls.south = (
            cls.topo.cluster(name, gateways=2) for name in ("east", "west", "south"))
        for cluster in (cls.west, cls.south):
            cluster.link.shape = (4,)
        cls.client = cls.east.pod("client")
        cls.servers, cls.services = {}, {}
        for name, port in PORTS.items():
            cls.servers[name] = cls.west.pod(name)
            endpoints = [Endpoint(cls.servers[name], OWN_PORTS[name])]
            if name == "stream":
                cls.far = cls.south.pod(name)
                endpoints.append(Endpoint(cls.far, OWN_PORTS[name]))
            cls.services[name] = cls.topo.service(f"shop/{name}", port, endpoints)
            cls.topo.allow(cls.client, f"shop/{name}")
        for node in cls.topo.nodes():
            node.agent.config = {"threads": 1} | cls.config

    def setUp(self):
        super().setUp()
        self.dir = f"{self.topo.dir}/{self.id().rpartition('.')[2]}"

    def vip(self, name):
        """The address of a service."""
        return self.services[name].vip

    def start(self, name, starter):
        """The server of a service."""
        starter(self.servers[name], OWN_PORTS[name], self.dir)

    def run_client(self, *argv, status=0, **kwargs):
        """The output of a command in the client's pod, which has to end so."""
        done = self.client.run(list(argv), **kwargs)
        self.assertEqual(done.returncode, status, f"{argv}: {done.stdout}{done.stderr}")
        return done.stdout

    def large_file(self, name):
        """The path of a file that no other one is like."""
        path = f"{self.dir}/{name}"
        with open(path, "wb") as out:
            out.write(os.urandom(LARGE))
        return path


class ApplicationsTest(ApplicationsCase):
    """Each does what its own benchmark or its everyday user would."""

    topology_name = "apps"

    def test_postgresql(self):
        self.start("postgres", applications.start_postgres)
        pgbench = [applications.postgres_program("pgbench"), "-h", self.vip("postgres"), "-U",
                   "postgres"]
        clients = 8
        self.run_client(*pgbench, "-i", "-q", "-s", "1", "postgres")
        # TPC-B: seven statements each, one after the other.
        told = self.run_client(*pgbench, "-n", "-c", str(clients), "-j", "2", "-t", str(ROUNDS),
                               "postgres", timeout=240)
        done = clients * ROUNDS
        self.assertIn(f"transactions actually processed: {done}/{done}", told)
        self.assertRegex(told, r"number of failed transactions: 0 ")
        balances = self.run_client(
            "psql", "-h", self.vip("postgres"), "-U", "postgres", "-At", "-c",
            "SELECT count(*), sum(delta), (SELECT sum(abalance) FROM pgbench_accounts),"
            " (SELECT sum(tbalance) FROM pgbench_tellers),"
            " (SELECT sum(bbalance) FROM pgbench_branches) FROM pgbench_history", "postgres")
        count, *sums = balances.strip().split("|")
        self.assertEqual(int(count), done)
        self.assertEqual(len(set(sums)), 1, f"what came in is not what is there: {balances}")

    def test_redis(self):
        self.start("redis", applications.start_redis)
        kinds = ["SET", "GET", "INCR", "LPUSH", "HSET", "MSET (10 keys)"]
        told = self.run_client(
            "redis-benchmark", "-h", self.vip("redis"), "-c", "20", "-n", str(20 * ROUNDS), "-d",
            "500", "-e", "--csv", "-t", "set,get,incr,lpush,hset,mset", timeout=240)
        lines = [line.split(",")[0].strip('"') for line in told.splitlines() if line]
        self.assertEqual(lines[1:], kinds, told)
        sent, received = self.large_file("sent"), f"{self.dir}/received"
        redis = f"redis-cli -h {self.vip('redis')}"
        self.run_client("sh", "-c", f"{redis} -x SET large < {sent}")
        self.run_client("sh", "-c", f"{redis} --raw GET large | head -c {LARGE} > {received}")
        self.assertEqual(sha256(received), sha256(sent))
        self.assertEqual(int(self.run_client(*redis.split(), "STRLEN", "large")), LARGE)

    def test_nginx(self):
        self.start("web", applications.start_nginx)
        url = f"http://{self.vip('web')}"
        for options in ([], ["-H", "Connection: close"]):
            told = self.run_client("wrk", "-t", "1", "-c", "16", "-d", "2s", *options, f"{url}/")
            self.assertGreater(int(re.search(r"(\d+) requests in", told)[1]), 16, told)
            self.assertNotRegex(told, "Socket errors|Non-2xx")
        up, down = self.large_file("up"), self.large_file("files/down")
        received = f"{self.dir}/received"
        self.run_client("curl", "-sSf", "-o", received, f"{url}/files/down")
        self.assertEqual(sha256(received), sha256(down))
        self.run_client("curl", "-sSf", "-T", up, f"{url}/files/up")
        self.assertEqual(sha256(f"{self.dir}/files/up"), sha256(up))

    def test_ssh(self):
        self.start("ssh", applications.start_sshd)
        vip = self.vip("ssh")
        with open(f"{self.dir}/host.pub", encoding="ascii") as key, \
                open(f"{self.dir}/known", "w", encoding="ascii") as known:
            known.write(f"{vip} {key.read()}")
        options = ["-F", "none", "-i", f"{self.dir}/client", "-o", "BatchMode=yes", "-o",
                   f"UserKnownHostsFile={self.dir}/known"]
        there = f"{applications.ACCOUNT}@{vip}"
        with open(self.large_file("input"), "rb") as given:
            done = self.client.run(
                ["ssh", *options, there, "wc -c; echo $SSH_CONNECTION >&2; exit 7"], stdin=given)
        self.assertEqual((done.returncode, done.stdout.strip()), (7, str(LARGE)), done.stderr)
        self.assertIn(f"{self.servers['ssh'].ip} {OWN_PORTS['ssh']}", done.stderr)
        sent, received = self.large_file("sent"), f"{self.dir}/received"
        self.run_client("scp", *options, sent, f"{there}:{self.dir}/copy")
        self.assertEqual(sha256(f"{self.dir}/copy"), sha256(sent))
        self.run_client("scp", *options, f"{there}:{self.dir}/copy", received)
        self.assertEqual(sha256(received), sha256(sent))


class StreamTest(ApplicationsCase):
    """Streams that last while others do not."""

    topology_name = "appsstream"
    config = {"deadlines": {"idle_tunnel": f"{IDLE}s", "ping": f"{IDLE}s"}}

    def stream(self, mode):
        """A running client's stream, and its server's name."""
        client = driver.GrpcPeer(self.client, mode, self.vip("stream"), PORTS["stream"])
        return client, client.next()["server"]

    def state(self, client, line=""):
        """Of one of them."""
        client.tell(line)
        return client.next()

    def wait_for_more(self, client):
        """Messages come back."""
        before = self.state(client)["echoed"]
        host.wait_until("more messages of the stream",
                        lambda: self.state(client)["echoed"] > before + 10)

    def test_streams_outlive_what_is_not_theirs(self):
        for server in (self.servers["stream"], self.far):
            driver.grpc_echo(server, OWN_PORTS["stream"])
        busy, where = self.stream("busy")
        idle, other = self.stream("idle")
        self.assertEqual(self.state(idle), {"echoed": 1, "code": None})
        used = {entry["peer_address"] for entry in self.east.agent.connections(self.client)}
        spare = [gateway for cluster in (self.west, self.south) for gateway in cluster.gateways
                 if gateway.address not in used]
        spare[0].agent.kill()
        self.addCleanup(self.start_agents_again)
        self.wait_for_more(busy)
        self.drain({self.west.name: self.south, self.south.name: self.west}[where])
        time.sleep(3 * IDLE)
        self.wait_for_more(busy)
        self.assertEqual(self.state(idle), {"echoed": 2, "code": None}, f"a stream to {other}")
        for client in (busy, idle):
            self.assertEqual(self.state(client, "end")["code"], "OK")

    def drain(self, cluster):
        """Until east's agent knows."""
        cluster.draining = True
        self.addCleanup(setattr, cluster, "draining", False)
        self.topo.write_directory()
        host.wait_until(f"{cluster.name} to be drained", lambda: next(
            entry["draining"] for entry in self.east.agent.cli("clusters")["clusters"]
            if entry["name"] == cluster.name))


if __name__ == "__main__":
    case.main()
