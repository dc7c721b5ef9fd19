# SPDX-License-Identifier: Apache-2.0
"""A Kubernetes cluster that signs service account tokens, made with the openssl command."""
import base64
import json
import time

from . import host

ISSUER = "https://kubernetes.default.svc.cluster.local"


def _base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class ServiceAccounts:
    """One RSA key, in `key_file`, by the name of `kid`."""

    def __init__(self, key_file, kid="k1"):
        self._key_file, self._kid = key_file, kid
        host.sh("openssl", "genrsa", "-out", key_file, "2048")

    def jwks(self):
        """What the cluster publishes at /openid/v1/jwks."""
        modulus = host.sh("openssl", "rsa", "-in", self._key_file, "-noout", "-modulus")
        number = bytes.fromhex(modulus.strip().partition("=")[2])
        return json.dumps({"keys": [{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": self._kid,
                                     "n": _base64url(number), "e": "AQAB"}]})

    def token(self, account="web", node="n1", lifetime=600, namespace="shop", **claims):
        """A token that is bound to a pod and a node; `claims` replace what it says."""
        now = int(time.time())

        def named(name):
            return {"name": name, "uid": f"uid-of-{name}"}
        body = {"iss": ISSUER, "sub": f"system:serviceaccount:{namespace}:{account}",
                "aud": ["tombolo-ca"], "exp": now + lifetime, "iat": now - 3600,
                "kubernetes.io": {"namespace": namespace, "serviceaccount": named(account),
                                  "pod": named(f"{account}-1"), "node": named(node)}}
        parts = ({"alg": "RS256", "kid": self._kid, "typ": "JWT"}, body | claims)
        text = ".".join(_base64url(json.dumps(part).encode()) for part in parts)
        signature = host.sh("sh", "-c", 'openssl dgst -sha256 -sign "$1" | openssl base64 -A', "sh",
                            self._key_file, input=text)
        return f"{text}.{_base64url(base64.b64decode(signature))}"
