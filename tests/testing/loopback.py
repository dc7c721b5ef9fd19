# SPDX-License-Identifier: Apache-2.0
"""A `tombolo-ca serve` on the loopback interface, in a directory of its own. Needs no root."""
import os
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request

from . import est, host
from .topology import program
from .yaml_text import to_yaml


class LoopbackAuthority:
    """Made and running once constructed; stop() removes it. `directory` is a directory file's
    content."""

    def __init__(self, trust_domain, directory=None):
        self.dir = tempfile.mkdtemp(prefix="tombolo-ca-")
        self.port, self.admin_port = host.free_port(), host.free_port()
        self.url, self.log_path = f"https://localhost:{self.port}", f"{self.dir}/ca.log"
        self.process = None
        self._write("ca.yaml", {
            "trust_domain": trust_domain, "store": {"sqlite": "ca.db"}, "keys": "keys",
            "serve": {"listen": f"127.0.0.1:{self.port}", "names": ["localhost"]},
            "admin": {"listen": f"127.0.0.1:{self.admin_port}"},
            "directories": ["directory.yaml"] if directory else []})
        if directory:
            self._write("directory.yaml", directory)
        self.command("init")

    def _write(self, name, content):
        with open(f"{self.dir}/{name}", "w", encoding="ascii") as out:
            out.write(to_yaml(content))

    def command(self, *arguments):
        """What `tombolo-ca <arguments>` prints."""
        return host.sh(program("tombolo-ca"), *arguments, "--config", f"{self.dir}/ca.yaml").strip()

    def start(self):
        """Returns when it is ready, and its roots are in `roots`."""
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [program("tombolo-ca"), "serve", "--config", f"{self.dir}/ca.yaml"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        host.wait_until("the authority to be ready", lambda: self.admin("readyz") == "ready\n")
        self.fetch_roots()

    def fetch_roots(self):
        """Those that it publishes now."""
        answer = host.sh("curl", "-sSfk", f"{self.url}/.well-known/est/cacerts")
        est.certificates(answer, self.roots)

    def admin(self, page):
        """A page of its admin listener; None when it does not answer with 200."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}/{page}",
                                        timeout=host.PATIENCE) as answer:
                return answer.read().decode()
        except urllib.error.URLError:
            if self.process.poll() is not None:
                raise host.HostError(f"the authority ended: {self.log()}") from None
            return None

    @property
    def roots(self):
        """The file of its roots."""
        return f"{self.dir}/roots.pem"

    def enrol(self, body, *options, **kwargs):
        """(status, text) that curl is answered."""
        return est.enrol(self.url, body, "--cacert", self.roots, *options, **kwargs)

    def log(self):
        """Everything it has said."""
        with open(self.log_path, encoding="utf-8", errors="replace") as lines:
            return lines.read()

    def stop(self):
        """Ends it, and removes all it had; its exit status."""
        status = None
        if self.process is not None:
            self.process.terminate()
            status = self.process.wait(timeout=host.PATIENCE)
        shutil.rmtree(self.dir)
        return status


def svid(authority, name, body, key_file, *options, **kwargs):
    """Enrols: (leaf and intermediate, key) files. HostError says how it was refused."""
    status, text = authority.enrol(body, *options, **kwargs)
    if status != 200:
        raise host.HostError(f"{name}: {status}: {text}")
    path = os.path.join(authority.dir, f"{name}.pem")
    est.certificates(text, path)
    return path, key_file
