# SPDX-License-Identifier: Apache-2.0
"""Other people's proxies: their configurations (peers/), their certificates, their processes."""
import os
import re
import shutil
import socket
import string
import subprocess
from dataclasses import dataclass, field

from testing import host, network

import world as worlds

_TEMPLATES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers")
_NGINX_MODULES = "/usr/lib/nginx/modules"
_EACH_PORT = re.compile(r"^ *[#;] each port\n(.*?)^ *[#;] end\n", re.DOTALL | re.MULTILINE)
_KTLS = {"dialer_options": "proxy_ssl_conf_command Options KTLS;",
         "acceptor_options": "ssl_conf_command Options KTLS;"}


@dataclass(frozen=True)
class Kind:
    """One program in one configuration. The n-th of KINDS listens from port 9000 + 10 n on."""
    name: str
    template: str  # peers/<template>-dialer and -acceptor; of SNI_KINDS peers/<template>
    values: dict = field(default_factory=dict)
    argv: tuple = ()
    needs: str = ""

    @property
    def kernel_tls(self):
        """Whether it shall seal in the kernel."""
        return "KTLS" in self.values.get("dialer_options", "")

    @property
    def suffix(self):
        """Of its configuration files."""
        return ".cfg" if self.template.startswith("haproxy") else ".conf"

    def missing(self):
        """What is not installed, or None."""
        if not shutil.which(self.argv[0]):
            return self.argv[0]
        return self.needs if self.needs and not os.path.exists(self.needs) else None


def kernel_tls_senders(netns):
    """How many sockets of a namespace have been given keys for sending so far; 0 on kernels that
    cannot."""
    def read():
        try:
            with open("/proc/thread-self/net/tls_stat", encoding="ascii") as lines:
                return int(dict(line.split() for line in lines)["TlsTxSw"])
        except FileNotFoundError:
            return 0
    return host.in_netns(network.path(netns), read)


def _haproxy(name, template="haproxy", **values):
    return Kind(name, template, values, ("haproxy", "-db", "-f"))


def _nginx(name, template="nginx", **values):
    options = {"dialer_options": "", "acceptor_options": ""}
    argv = ("nginx", "-e", "stderr", "-g", "daemon off;", "-c")
    return Kind(name, template, options | values, argv, f"{_NGINX_MODULES}/ngx_stream_module.so")


# "full": no session is resumed, each connection is a mutual handshake.
KINDS = (
    _haproxy("haproxy-plain", "haproxy-plain"),
    _haproxy("haproxy", resume=""),
    _haproxy("haproxy-full", resume="no-ssl-reuse"),
    _nginx("nginx", resume="on"),
    _nginx("nginx-full", resume="off"),
    _nginx("nginx-ktls", resume="on", **_KTLS),
    Kind("stunnel", "stunnel", {"resume": "yes"}, ("stunnel4",)),
    Kind("stunnel-full", "stunnel", {"resume": "no"}, ("stunnel4",)),
)
# One proxy that looks for the server name in a ClientHello and passes the rest on.
SNI_KINDS = (
    _haproxy("haproxy-sni", "haproxy-sni", splice="option splice-auto", pipes=""),
    # splice-auto copies as a rule.
    _haproxy("haproxy-sni-splice", "haproxy-sni",
             splice="option splice-request\n  option splice-response",
             pipes="tune.pipesize 1048576"),
    _nginx("nginx-sni", "nginx-sni"),
)


class Proxy:
    """One process of a kind, in the namespace of a node. `template` is of its configuration, with
    `values` in it, and what is between the marks once for each of `ports`, {mode: values}."""

    def __init__(self, world, kind, node, template, values, ports):
        self._world, self._kind, self._node = world, kind, node
        self._template, self._values, self._ports = template, kind.values | values, ports
        self.cgroup = world.cgroup(node, kind.name)

    def start(self):
        """Returns when it listens."""
        directory = f"{self._world.topo.dir}/peers/{self._template}-{self._kind.name}"
        os.makedirs(directory, exist_ok=True)
        path = f"{directory}/configuration"
        with open(path, "w", encoding="ascii") as out:
            out.write(self._render({"cores": os.cpu_count(), "dir": directory,
                                    "modules": _NGINX_MODULES} | self._values))
        with open(f"{directory}/output", "wb") as log:
            process = self._world.start(self._node, self._kind.name, [*self._kind.argv, path],
                                        stdin=subprocess.DEVNULL, stdout=log, stderr=log)

        def listens():
            if process.poll() is not None:
                raise host.HostError(f"{self._kind.name} ended with {process.returncode}: "
                                     + _tail(f"{directory}/output"))
            return all(host.in_netns(network.path(self._node.netns), lambda p=port: _connects(
                self._values["listen"], p["port"])) for port in self._ports.values())
        host.wait_until(f"{self._kind.name} to listen ({self._template})", listens)

    def _render(self, values):
        with open(f"{_TEMPLATES}/{self._template}{self._kind.suffix}", encoding="ascii") as source:
            text = source.read()

        def repeat(match):
            return "".join(string.Template(match[1]).substitute(values, **port, mode=mode)
                           for mode, port in self._ports.items())
        return string.Template(_EACH_PORT.sub(repeat, text)).substitute(values)

    def stop(self):
        """Kills it."""
        host.kill_cgroup(self.cgroup)


class Pair:
    """One kind's two proxies in a world."""

    def __init__(self, world, kind):
        first = 9000 + 10 * KINDS.index(kind)
        self.ports = {mode: first + i for i, mode in enumerate(worlds.PORTS)}
        ports = {mode: {"port": port, "server_port": worlds.PORTS[mode]}
                 for mode, port in self.ports.items()}

        def proxy(node, side, listen, target):
            values = {"listen": listen, "target": target}
            values |= _certificates(f"{world.topo.dir}/peers", side)
            return Proxy(world, kind, node, f"{kind.template}-{side}", values, ports)
        # The acceptor first: some look whether their server is there.
        self._proxies = [proxy(world.west, "acceptor", world.west.ip, world.server.ip),
                         proxy(world.east, "dialer", network.GATEWAY, world.west.ip)]
        self.cgroups = [one.cgroup for one in self._proxies]

    def start(self):
        """Returns when both listen."""
        for proxy in self._proxies:
            proxy.start()

    def stop(self):
        """Kills both."""
        for proxy in self._proxies:
            proxy.stop()


def _connects(address, port):
    try:
        with socket.create_connection((address, port), timeout=5):
            return True
    except OSError:
        return False


def _tail(path):
    with open(path, encoding="utf-8", errors="replace") as lines:
        return " ".join(lines.read().splitlines()[-5:])


def _certificates(directory, side):
    """ECDSA P-256, issued by the root itself, as Tombolo's SVIDs are."""
    os.makedirs(directory, exist_ok=True)
    root, root_key = f"{directory}/root.pem", f"{directory}/root.key"
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    if not os.path.exists(root):
        host.sh("openssl", "req", "-x509", *curve, "-keyout", root_key, "-out", root,
                "-subj", "/O=bench root", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    base = f"{directory}/{side}"
    if not os.path.exists(f"{base}.pem"):
        host.sh("openssl", "req", "-x509", "-CA", root, "-CAkey", root_key, *curve,
                "-keyout", f"{base}.key", "-out", f"{base}.crt", "-subj", "/O=bench",
                "-addext", "basicConstraints=critical,CA:FALSE",
                "-addext", "keyUsage=critical,digitalSignature",
                "-addext", "extendedKeyUsage=serverAuth,clientAuth",
                "-addext", f"subjectAltName=DNS:{side}.bench")
        with open(f"{base}.pem", "wb") as both:
            for part in (f"{base}.crt", f"{base}.key"):
                with open(part, "rb") as source:
                    both.write(source.read())
    return {"ca": root, "certificate": f"{base}.crt", "key": f"{base}.key", "pem": f"{base}.pem"}
