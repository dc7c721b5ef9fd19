# SPDX-License-Identifier: Apache-2.0
"""manifests/kubernetes/authority: the objects fit together, and the program what they say of it.

There is no Kubernetes here: that an API server takes them is not shown.
"""
import glob
import os
import re
import signal
import tempfile
import unittest

from testing import case, est, host
from testing.jail import UID, Jail
from testing.topology import program

try:
    import yaml
except ImportError:
    yaml = None
DIRECTORY = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                         "../../manifests/kubernetes/authority")
API = {"Namespace": "v1", "ConfigMap": "v1", "PersistentVolumeClaim": "v1", "Service": "v1",
       "Job": "batch/v1", "Deployment": "apps/v1"}


class ManifestsTest(unittest.TestCase):
    """What kubectl would be given."""

    @classmethod
    def setUpClass(cls):
        if yaml is None:
            case.skip_without("Python's YAML library (Debian package python3-yaml)")
        cls.objects = {}
        for path in glob.glob(f"{DIRECTORY}/*.yaml"):
            with open(path, encoding="utf-8") as text:
                content, = yaml.safe_load_all(text)  # one object a file
            name = os.path.basename(path).removesuffix(".yaml")
            assert content["kind"].lower() == name, path
            cls.objects[content["kind"]] = content
        cls.config = yaml.safe_load(cls.objects["ConfigMap"]["data"]["ca.yaml"])

    def pod(self, kind):
        """The pod's specification in a Job or Deployment."""
        return self.objects[kind]["spec"]["template"]["spec"]

    def container(self, kind):
        """Its only container."""
        container, = self.pod(kind)["containers"]
        return container

    def test_kinds_and_names(self):
        self.assertEqual({kind: each["apiVersion"] for kind, each in self.objects.items()}, API)
        for kind, each in self.objects.items():
            if kind != "Namespace":
                self.assertEqual(each["metadata"]["namespace"],
                                 self.objects["Namespace"]["metadata"]["name"])

    def test_the_page_applies_each_of_them(self):
        with open(f"{DIRECTORY}/README.md", encoding="utf-8") as text:
            applied = re.findall(r"-f (\S+)\.yaml", text.read())
        self.assertEqual(sorted(applied), sorted(kind.lower() for kind in self.objects))

    def test_volumes_are_there(self):
        for kind in ("Job", "Deployment"):
            volumes = {volume["name"]: volume for volume in self.pod(kind)["volumes"]}
            self.assertEqual(volumes["config"]["configMap"]["name"],
                             self.objects["ConfigMap"]["metadata"]["name"])
            self.assertEqual(volumes["state"]["persistentVolumeClaim"]["claimName"],
                             self.objects["PersistentVolumeClaim"]["metadata"]["name"])
            self.assertEqual({mount["name"] for mount in self.container(kind)["volumeMounts"]},
                             set(volumes))

    def test_the_service_finds_the_pod(self):
        deployment, service = self.objects["Deployment"], self.objects["Service"]
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        self.assertEqual(deployment["spec"]["selector"]["matchLabels"], labels)
        self.assertEqual(service["spec"]["selector"], labels)
        ports = {port["name"]: port["containerPort"]
                 for port in self.container("Deployment")["ports"]}
        for port in service["spec"]["ports"]:
            self.assertIn(port["targetPort"], ports)
        self.assertEqual(self.config["serve"]["listen"], f"0.0.0.0:{ports['https']}")
        self.assertEqual(self.config["admin"]["listen"], f"0.0.0.0:{ports['admin']}")
        name = "{name}.{namespace}.svc".format(**service["metadata"])
        self.assertIn(name, self.config["serve"]["names"])

    def test_pods_are_confined(self):
        for kind in ("Job", "Deployment"):
            pod, container = self.pod(kind)["securityContext"], self.container(kind)
            self.assertEqual((pod["runAsNonRoot"], pod["runAsUser"], pod["fsGroup"]),
                             (True, UID, UID))
            self.assertEqual(container["securityContext"], {
                "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]}})

    def jail(self, kind, directory):
        """What the container sees of volumes, as Kubernetes makes them."""
        config, state = f"{directory}/config", f"{directory}/state"
        if not os.path.isdir(config):
            os.mkdir(config)
            os.mkdir(state)
            with open(f"{config}/ca.yaml", "w", encoding="utf-8") as out:
                out.write(self.objects["ConfigMap"]["data"]["ca.yaml"])
            os.chown(state, 0, UID)  # fsGroup
            os.chmod(state, 0o2775)
            os.chmod(directory, 0o755)
        sources = {"config": (config, "ro"), "state": (state, "rw")}
        return Jail(os.path.dirname(program("tombolo-ca")), [
            (sources[mount["name"]][0], mount["mountPath"], sources[mount["name"]][1])
            for mount in self.container(kind)["volumeMounts"]])

    def test_the_program_runs_as_they_say(self):
        if os.geteuid() != 0:
            case.skip_without("root, for namespaces")
        init, serve = self.container("Job")["command"], self.container("Deployment")["command"]
        with tempfile.TemporaryDirectory() as directory:
            with self.jail("Job", directory) as jail:
                status, output = jail.run(init)
                self.assertEqual(status, 0, output)
                self.assertNotEqual(jail.run(init)[0], 0, "a trust domain is made once")
            with self.jail("Deployment", directory) as jail:
                self.serves(jail, jail.start(serve), f"{directory}/roots.pem")

    def serves(self, jail, process, roots):
        """Probes and the service's name answer, and SIGTERM is an orderly end."""
        container = self.container("Deployment")
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        for probe in ("readinessProbe", "livenessProbe"):
            get = container[probe]["httpGet"]

            def answers(page=f"http://127.0.0.1:{ports[get['port']]}{get['path']}"):
                self.assertIsNone(process.poll(), "it has ended")
                return jail.ask(process, "-f", page)[0] == 0
            host.wait_until(f"the {probe}", answers)
        trust = ["-k"]
        for name in self.config["serve"]["names"]:
            status, output = jail.ask(
                process, "-f", *trust, "--resolve", f"{name}:{ports['https']}:127.0.0.1",
                f"https://{name}:{ports['https']}/.well-known/est/cacerts")
            self.assertEqual(status, 0, output)
            est.certificates(output, roots)
            trust = ["--cacert", roots]
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(self.pod("Deployment")["terminationGracePeriodSeconds"]), 0)


if __name__ == "__main__":
    case.main()
