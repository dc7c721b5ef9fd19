#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Three clusters on one machine, a request between two of them, and what happens when one of those
dies; run it as tools/quickstart.

Every line it prints is judged by what really happened. The exit status is 0 only if all held.
"""
import argparse
import json
import os
import re
import secrets
import sys
import time

REPO = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(REPO, "tests"))

from quickstart_world import NAME, Loop, World  # noqa: E402  pylint: disable=wrong-import-position
from testing import authority, host, network, topology  # noqa: E402  pylint: disable=wrong-import-position
from testing.capture import Capture  # noqa: E402  pylint: disable=wrong-import-position
from testing.gateway import PORT as GATEWAY_PORT  # noqa: E402  pylint: disable=wrong-import-position


class Report:
    """Prints findings and remembers whether all were good."""

    def __init__(self):
        self.good = True
        self._colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ

    def paint(self, code, text):
        """Coloured on a terminal, plain in a file."""
        return f"\033[{code}m{text}\033[0m" if self._colour else text

    def title(self, text):
        """A step."""
        print(f"\n{self.paint('1', text)}", flush=True)

    def check(self, held, text):
        """A finding."""
        self.good = self.good and bool(held)
        mark = self.paint("32", "ok  ") if held else self.paint("31;1", "FAIL")
        print(f"  {mark} {text}", flush=True)


def last_words(curl):
    """Why curl failed, as the kernel told it."""
    reasons = [line.strip("* ") for line in curl.stderr.splitlines()
               if re.search(r"fail.*: |^curl: ", line)]
    return reasons[0] if reasons else f"HTTP answer: {curl.stdout.strip()}"


def show_identities(report, world):
    """Tokens let the nodes in, once each; the nodes ask for their workloads."""
    report.title("The identities, and where they come from")
    issued = {record["serial"]: record for record in json.loads(
        world.authority.command("list", "--json"))}
    for cluster in world.topo.clusters:
        shown = cluster.agent.cli("identities")
        for svid in (shown["authority"]["node"], *shown["identities"]):
            record = issued.get(svid["serial"].replace(":", "").lower(), {})
            report.check(record.get("subject") == svid["id"],
                         f"{svid['id']}, by {record.get('requester', 'nobody')}")
    node = f"spiffe://{topology.TRUST_DOMAIN}/cluster/west/node/{world.west.node}"
    status, answer = world.authority.enrol(
        world.west, node, "--cacert", f"{world.authority.dir}/root.pem",
        "-u", ":" + world.authority.token(world.west))
    report.check(status == 401 and "used already" in answer,
                 f"west's token once more: {status}, {answer}")


def show_request(report, world, marker):
    """The job itself: an unmodified client reaches an unmodified server in another cluster."""
    report.title(f"curl in east fetches {world.url} from nginx in west")
    answer = world.curl(world.curl_pod, "-i", "-H", f"X-Marker: {marker}")
    status, _, rest = answer.stdout.partition("\n")
    body = rest.partition("\n\n")[2].strip()
    good = answer.returncode == 0 and " 200 " in status and "hello from nginx in west" in body
    report.check(good, f"{status}: {body}" if good else last_words(answer))
    host.wait_until("nginx's log", lambda: world.nginx_log() or not good, 2)
    report.check(f"marker={marker}" in world.nginx_log(), f"nginx saw the marker {marker}")


def show_tunnel(report, world):
    """Who spoke to whom, as both agents tell it."""
    report.title("The tunnel between the agents")
    dialed = [t for t in world.east.agent.cli("tunnels")["tunnels"] if t["role"] == "dialer"]
    accepted = [t for t in world.west.agent.cli("tunnels")["tunnels"] if t["role"] == "acceptor"]
    if not dialed or not accepted:
        report.check(False, f"no tunnel: east has {dialed}, west has {accepted}")
        return
    east, west = dialed[0], accepted[0]
    report.check(east["local_id"] == west["peer_id"] == world.curl_pod.id,
                 f"client {west['peer_id']}, checked by west")
    report.check(west["local_id"] == east["peer_id"] == world.web_pod.id,
                 f"server {east['peer_id']}, checked by east")
    report.check(east["tls_version"] == west["tls_version"] == "TLSv1.3"
                 and east["cipher"] and east["group"],
                 f"{east['tls_version']}, {east['cipher']}, {east['group']}")


def show_wire(report, captures, marker):
    """What somebody on the network between the clusters would have seen."""
    report.title("A capture of what leaves and reaches east's node")
    link = captures["east"].only("lan")
    strays = link.other_ports(GATEWAY_PORT, authority.PORT)
    for port, what in ((GATEWAY_PORT, "tunnels"), (authority.PORT, "the authority")):
        verdict = link.judge_tls(port)
        report.check(verdict.ok, f"{what}: {verdict.text}")
    report.check(not strays, "and of nothing else" if not strays else f"other: {strays[0]}")
    places = [place for capture in captures.values() for place in capture.find(marker.encode())]
    report.check(not places, f"the marker {marker} is nowhere in it" if not places
                 else f"the marker was seen: {places[0]}")


def show_plain_pod(report, world):
    """Without an identity there is no way through the mesh."""
    report.title("The same curl in a pod that is not enrolled")
    with Capture(world.east.netns) as capture:
        answer = world.curl(world.plain_pod)
        capture.stop()
    report.check(answer.returncode != 0 and not answer.stdout, last_words(answer))
    crossed = capture.only("lan").other_ports(authority.PORT)
    report.check(not crossed, "nothing of it left the node" if not crossed
                 else f"on the link: {crossed[0]}")


def show_dead_agent(report, world, marker):
    """The programs outlive the agent: what it would have encrypted is refused."""
    report.title("The same curl with east's agent killed (SIGKILL)")
    world.east.agent.kill()
    # West's agent notices that its tunnel is gone, and its kernel says so once.
    host.wait_until("west to forget the tunnel",
                    lambda: not world.west.agent.cli("tunnels")["tunnels"])
    captures = [Capture(cluster.netns) for cluster in (world.east, world.west)]
    answer = world.curl(world.curl_pod, "-H", f"X-Marker: {marker}")
    # West's agent may ask the authority for news at any time.
    seen = [packet for capture in captures
            for packet in capture.stop().other_ports(authority.PORT)]
    lost = sum(capture.drops for capture in captures)
    report.check(answer.returncode == 7 and "Connection refused" in answer.stderr,
                 last_words(answer))
    report.check(not seen and not lost, "not one packet of it on any interface of either node"
                 if not seen else f"on the wire: {seen[0]}")


def show_recovery(report, world):
    """A new agent takes over what the dead one has pinned."""
    report.title("East's agent started again")
    world.east.agent.start()
    world.east.agent.wait_ready()
    answer = world.curl(world.curl_pod)
    report.check(answer.returncode == 0 and "hello from nginx" in answer.stdout,
                 answer.stdout.strip() or last_words(answer))


def show_failover(report, world):
    """Another cluster answers when one dies."""
    report.title("West killed (SIGKILL: agent, gateway, nginx) while curl loops in east")
    loop = Loop(world)
    before = loop.take("west", 20)
    begun = time.monotonic()
    world.kill_west()
    after = loop.take("north", 20)
    loop.end()
    asked = before + after
    by = {name: sum(found == name for _, found, _ in asked) for name in ("west", "north")}
    failed = [words for _, found, words in asked if found is None]
    late = next(at for at, found, _ in after if found == "north") - begun
    report.check(by["west"] and by["north"],
                 f"{len(asked)} requests, one after the other: {by['west']} answered by west, then "
                 f"{by['north']} by north, the first of them {1000 * late:.0f} ms later")
    # The one that was under way may have been west's already.
    report.check(len(failed) <= 1, f"{len(failed)} failed" + (f": {failed[0]}" if failed else ""))


def explain_keep(world):
    """Commands for a person who wants to look around."""
    cli, ca = topology.program("tombolo"), topology.program("tombolo-ca")
    socket = world.east.agent.socket
    pins = f"{host.BPFFS}/tombolo/{world.east.agent.instance}"
    enter = f"echo 0 > {world.curl_pod.cgroup}/cgroup.procs; " \
            f"exec nsenter --net={network.path(world.curl_pod.netns)}"
    print(f"""
It is still running. To look around, as root:
  {cli} --socket {socket} status        # also: identities services clusters tunnels connections datapath
  {ca} list --config {world.authority.dir}/ca.yaml    # also: cluster list, token list, audit show
  bpftool cgroup tree {world.east.cgroup}
  ls {pins}; bpftool map dump pinned {pins}/<map>
  sh -c '{enter} curl -v {world.url}'
  ip netns exec {world.east.netns} curl http://127.0.0.1:15020/metrics
  $EDITOR {world.topo.dir}/directory.yaml    # read again by all agents as soon as it is saved
  tail {world.east.agent.log_path} {world.west.agent.log_path} {world.authority.log_path}
To remove every trace: tools/quickstart --down""")


def run(report, world):
    """All of it, in order."""
    marker = f"marker-{secrets.token_hex(12)}"
    world.topo.up()
    captures = {cluster.name: Capture(cluster.netns) for cluster in (world.east, world.west)}
    for pod in (world.web_pod, world.spare_pod):
        world.start_nginx(pod)
    world.topo.start_agents()
    gateways = {cluster: cluster.gateways[0].address for cluster in world.topo.clusters}
    title = "Three clusters with the same node and pod addresses, each behind a gateway"
    print(f"{report.paint('1', title)}\n"
          f"  east   {gateways[world.east]}  curl 10.0.0.10, plain 10.0.0.11 (not enrolled)\n"
          f"  west   {gateways[world.west]}  web 10.0.0.10 (nginx)\n"
          f"  north  {gateways[world.north]}  web 10.0.0.10 (nginx), for when west cannot\n"
          f"  their certificate authority is on east's node: {world.authority.url}")
    show_identities(report, world)
    show_request(report, world, marker)
    show_tunnel(report, world)
    for capture in captures.values():
        capture.stop()
    show_wire(report, captures, marker)
    show_plain_pod(report, world)
    show_dead_agent(report, world, marker)
    show_recovery(report, world)
    show_failover(report, world)
    for cluster in world.topo.clusters:
        for complaint in cluster.agent.complaints():
            report.check(False, complaint)


def main(arguments=None):
    """Parses the command line; leaves nothing behind unless asked to."""
    parser = argparse.ArgumentParser(prog="tools/quickstart", description=__doc__)
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--keep", action="store_true", help="leave it running")
    choice.add_argument("--down", action="store_true", help="remove every trace of a kept run")
    options = parser.parse_args(arguments)
    if options.down:
        topology.down(NAME)
        return 0
    report = Report()
    keep = False
    world = None
    try:
        world = World()
        run(report, world)
        if options.keep:
            world.start_west()
        keep = options.keep
    except host.HostError as error:
        report.check(False, str(error))
    finally:
        if world is not None and not keep:
            world.topo.down()
    if keep:
        explain_keep(world)
    good = report.paint("32;1", "All of it held.") if report.good else \
        report.paint("31;1", "Not all of it held.")
    print(f"\n{good}")
    return 0 if report.good else 1


if __name__ == "__main__":
    sys.exit(main())
