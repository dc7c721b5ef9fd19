# SPDX-License-Identifier: Apache-2.0
"""A container in little: what a program needs that a unit or a pod confines is found out by it.

Its root has Debian's /usr, /etc/ssl, /proc and the directories that it is given; everything else is
absent, and all but writable directories read-only. Its network is a loopback interface, its user
an ordinary one without capabilities. Needs root.
"""
import os
import subprocess
import tempfile

from . import host

UID = 65532
PROGRAMS = "/opt"  # where this build tree's programs are in it
_SCRIPT = f"""
set -e
programs=$1 root=$2
shift 2
ip link set lo up
mount -t tmpfs -o mode=755 tmpfs "$root"
attach() {{
  mkdir -p "$root$2"
  mount --bind "$1" "$root$2"
  [ "$3" = rw ] || mount -o remount,bind,ro "$root$2"
}}
for name in bin lib lib64 sbin; do ln -s "usr/$name" "$root/$name"; done
for name in /usr /etc/ssl /proc; do attach "$name" "$name" ro; done
mkdir "$root/dev"
for name in /dev/null /dev/urandom; do
  : >"$root$name"
  mount --bind "$name" "$root$name"
done
attach "$programs" {PROGRAMS} ro
while [ "$1" != -- ]; do attach "$1" "$2" "$3"; shift 3; done
shift
mount -o remount,ro "$root"
exec chroot "$root" env PATH={PROGRAMS}:/usr/bin setpriv --reuid={UID} --regid={UID} \\
  --clear-groups --bounding-set=-all --inh-caps=-all --no-new-privs "$@"
"""


class Jail:
    """`mounts` are (directory, where it is in there, "ro" or "rw"). A context manager."""

    def __init__(self, programs, mounts):
        self._programs, self._mounts = programs, mounts
        self._root = tempfile.mkdtemp(prefix="tombolo-jail-")
        self._processes = []

    def start(self, argv, **kwargs):
        """Starts a command; its pid is the command's own. Each has a network of its own."""
        mounts = [word for mount in self._mounts for word in mount]
        process = subprocess.Popen(
            ["unshare", "--net", "--mount", "/bin/sh", "-c", _SCRIPT, "sh", self._programs,
             self._root, *mounts, "--", *argv], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **kwargs)
        self._processes.append(process)
        return process

    def run(self, argv):
        """(exit status, output) of a command at its end."""
        process = self.start(argv)
        output, _ = process.communicate(timeout=host.PATIENCE)
        return process.returncode, output

    @staticmethod
    def ask(process, *arguments):
        """(exit status, output) of a curl in the network of a command that runs."""
        done = host.in_netns(f"/proc/{process.pid}/ns/net",
                             lambda: host.run("curl", "-sS", *arguments))
        return done.returncode, done.stdout + done.stderr

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.communicate()
        os.rmdir(self._root)
