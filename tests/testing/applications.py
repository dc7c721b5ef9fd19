# SPDX-License-Identifier: Apache-2.0
"""Servers as Debian has them, in pods, each with nothing but a configuration of its own.

Each function returns when its server serves, on the pod's own address. The server ends with the
test that has started it; its files are in `directory`, which must not exist yet.
"""
import glob
import os
import shutil
import socket
import subprocess

from . import host, network

# Of Debian's package postgresql: without privileges, with a shell. PostgreSQL refuses to be root,
# and sshd logs people in as whoever it is, if that is not root.
ACCOUNT = "postgres"
_AS_ACCOUNT = ["setpriv", f"--reuid={ACCOUNT}", f"--regid={ACCOUNT}", "--init-groups"]

_NGINX = """
user root;
worker_processes 1;
daemon off;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{}}
http {{
  access_log off;
  client_max_body_size 0;
  client_body_temp_path {directory}/body;
  server {{
    listen {address}:{port};
    root {directory}/files;
    location / {{ return 200 "hello from nginx\\n"; }}
    location /files/ {{ alias {directory}/files/; dav_methods PUT; }}
  }}
}}
"""

_SSHD = """
ListenAddress {address}:{port}
HostKey {directory}/host
AuthorizedKeysFile {directory}/client.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
Subsystem sftp internal-sftp
"""


def postgres_program(name):
    """One of PostgreSQL's own, which are in no PATH; None if it is not installed."""
    found = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"))
    return found[-1] if found else shutil.which(name)


def _wait(pod, process, name, directory, condition):
    def ready():
        if process.poll() is not None:
            raise host.HostError(f"{name} ended: see {directory}:\n{_read(f'{directory}/log')}")
        return condition()
    host.wait_until(f"{name} in {pod.workload} to serve", ready)
    return process


def _read(path):
    with open(path, encoding="utf-8", errors="replace") as text:
        return text.read()[-2000:]


def _start(pod, argv, directory):
    with open(f"{directory}/log", "ab") as log:
        return pod.start(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                         env={"PATH": os.environ["PATH"], "LC_ALL": "C"})


def _connects(pod, port):
    def connect():
        try:
            socket.create_connection((pod.ip, port), timeout=host.PATIENCE).close()
            return True
        except OSError:
            return False
    return host.in_netns(network.path(pod.netns), connect)


def start_postgres(pod, port, directory):
    """Anybody may log in as its administrator, who is called postgres. A crash may cost data."""
    os.makedirs(directory)
    shutil.chown(directory, ACCOUNT, ACCOUNT)
    data = f"{directory}/data"
    host.sh(*_AS_ACCOUNT, postgres_program("initdb"), "--auth=trust", "--no-sync", "--no-locale",
            "--encoding=UTF8", "--wal-segsize=1", "-D", data, cwd=directory)
    with open(f"{data}/pg_hba.conf", "a", encoding="ascii") as rules:
        rules.write("host all all 0.0.0.0/0 trust\n")
    options = {"listen_addresses": pod.ip, "port": port, "unix_socket_directories": "",
               "fsync": "off"}
    process = _start(pod, [*_AS_ACCOUNT, postgres_program("postgres"), "-D", data,
                           *(f"--{name}={value}" for name, value in options.items())], directory)
    return _wait(pod, process, "PostgreSQL", directory, lambda: pod.run(
        ["pg_isready", "-h", pod.ip, "-p", str(port)]).returncode == 0)


def start_redis(pod, port, directory):
    """Keeps nothing on disk."""
    os.makedirs(directory)
    process = _start(pod, ["redis-server", "--bind", pod.ip, "--port", str(port), "--save", "",
                           "--protected-mode", "no", "--dir", directory], directory)
    return _wait(pod, process, "Redis", directory, lambda: _connects(pod, port))


def start_nginx(pod, port, directory):
    """A short answer at /; files can be fetched from and put to /files/."""
    os.makedirs(f"{directory}/files")
    with open(f"{directory}/nginx.conf", "w", encoding="utf-8") as out:
        out.write(_NGINX.format(directory=directory, address=pod.ip, port=port))
    process = _start(pod, ["nginx", "-p", directory, "-e", f"{directory}/error.log", "-c",
                           f"{directory}/nginx.conf"], directory)
    return _wait(pod, process, "nginx", directory, lambda: _connects(pod, port))


def start_sshd(pod, port, directory):
    """Lets in whoever has the key `client` in the directory, as ACCOUNT; its own is `host`."""
    os.makedirs(directory)
    for name in ("host", "client"):
        host.sh("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{directory}/{name}")
    with open(f"{directory}/sshd_config", "w", encoding="utf-8") as out:
        out.write(_SSHD.format(directory=directory, address=pod.ip, port=port))
    shutil.chown(directory, ACCOUNT, ACCOUNT)
    shutil.chown(f"{directory}/host", ACCOUNT, ACCOUNT)
    process = _start(pod, [*_AS_ACCOUNT, "/usr/sbin/sshd", "-D", "-e", "-f",
                           f"{directory}/sshd_config"], directory)
    return _wait(pod, process, "sshd", directory, lambda: _connects(pod, port))
