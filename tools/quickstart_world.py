# SPDX-License-Identifier: Apache-2.0
"""What tools/quickstart runs: three clusters, curl and nginx in their pods."""
import contextlib
import os
import re
import shutil
import signal
import subprocess
import time

from testing import host, topology

NAME = "quickstart"
NGINX = """
worker_processes 1;
daemon off;
pid {dir}/nginx.pid;
error_log {dir}/error.log;
events {{}}
http {{
  log_format marker '$remote_addr "$request" $status marker=$http_x_marker';
  access_log {dir}/access.log marker;
  server {{
    listen {address}:8080;
    return 200 "hello from nginx in {cluster}, {address}:8080\\n";
  }}
}}
"""


class World:
    """East with a curl, west and north with an nginx each, and the authority that all trust."""

    def __init__(self):
        self.topo = topo = topology.Topology(NAME)
        self.east, self.west, self.north = (
            topo.cluster(name, gateways=1) for name in ("east", "west", "north"))
        self.curl_pod = self.east.pod("curl")
        self.plain_pod = self.east.pod("plain", enrolled=False)
        self.web_pod, self.spare_pod = self.west.pod("web"), self.north.pod("web")
        self.service = topo.service("shop/web", 80, [
            topology.Endpoint(pod, 8080) for pod in (self.web_pod, self.spare_pod)])
        # West first, so that it is known whose death matters.
        self.service.balancing = {"tiers": [{"clusters": ["west"]}, {"clusters": ["north"]}]}
        topo.allow(self.curl_pod, "shop/web")
        # Where services are, nobody who is not enrolled gets through to anything.
        for cluster in topo.clusters:
            cluster.agent.config = {"capture": {"protected_ranges": ["10.96.0.0/16"]}}
        self.url = f"http://{self.service.vip}/"
        self.authority = topo.use_authority(ttl="1h")

    def start_nginx(self, pod):
        """Debian's nginx with nothing but a configuration of its own."""
        cluster = pod.cluster.name
        directory = f"{self.topo.dir}/nginx-{cluster}"
        shutil.rmtree(directory, ignore_errors=True)
        os.makedirs(directory)
        with open(f"{directory}/nginx.conf", "w", encoding="utf-8") as out:
            out.write(NGINX.format(dir=directory, address=pod.ip, cluster=cluster))
        # Its output is not ours: with --keep it outlives this program and its terminal.
        process = pod.start(
            ["nginx", "-p", directory, "-e", f"{directory}/error.log", "-c",
             f"{directory}/nginx.conf"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True)

        def serves():
            if process.poll() is not None:
                raise host.HostError(f"nginx did not start: see {directory}/error.log")
            return os.path.exists(f"{directory}/nginx.pid")
        host.wait_until("nginx to start", serves)

    def nginx_log(self):
        """What west's nginx says it has served."""
        with open(f"{self.topo.dir}/nginx-west/access.log", encoding="utf-8") as lines:
            return lines.read()

    def kill_west(self):
        """Every process of it: agent, gateway and nginx."""
        for place in self.west.places():
            place.agent.expect_death = True
            for pid in host.cgroup_pids(place.cgroup):
                with contextlib.suppress(ProcessLookupError):  # nginx's worker follows its master
                    os.kill(pid, signal.SIGKILL)

    def start_west(self):
        """All of it again."""
        self.start_nginx(self.web_pod)
        for place in self.west.places():
            place.agent.start()
        for place in self.west.places():
            place.agent.wait_ready()

    def curl(self, pod, *options):
        """curl's own words about one request through the VIP."""
        return pod.run(["curl", "-sSv", "--max-time", "5", *options, self.url])


class Loop:
    """A shell that fetches the page again and again, one curl after the other."""

    def __init__(self, world):
        script = f"while :; do curl -sS --max-time 5 {world.url} 2>&1 | tail -n 1; done"
        self._process = world.curl_pod.start(["sh", "-c", script], stdin=subprocess.DEVNULL,
                                             stdout=subprocess.PIPE, text=True)

    def next(self):
        """When the next request ended, which cluster has answered, or None, and its last words."""
        words = self._process.stdout.readline().strip()
        found = re.match("hello from nginx in ([a-z]+)", words)
        return time.monotonic(), found and found[1], words

    def take(self, cluster, count):
        """Requests until one cluster has answered so many of them."""
        taken = []
        while sum(found == cluster for _, found, _ in taken) < count:
            taken.append(self.next())
            if len(taken) > 20 * count:
                raise host.HostError(f"no {count} answers from {cluster}: {taken[-1][2]}")
        return taken

    def end(self):
        """A curl that is under way ends by itself."""
        self._process.kill()
