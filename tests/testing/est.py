# SPDX-License-Identifier: Apache-2.0
"""Enrolment with nothing but curl and openssl, as a stranger's script would do it."""
import os

from . import host

P256 = ("ec", "-pkeyopt", "ec_paramgen_curve:P-256")


def request(*names, key=P256, key_file=os.devnull):
    """A certificate request in base64 by a new key: `names` are SANs as openssl writes them."""
    wish = ["-addext", "subjectAltName=" + ",".join(names)] if names else []
    made = host.sh("openssl", "req", "-new", "-newkey", *key, "-nodes", "-keyout", key_file,
                   "-subj", "/", *wish)
    return "".join(made.strip().splitlines()[1:-1])


def post(url, body, *options, content_type="application/pkcs10"):
    """(status, text) of what curl is answered; 0 when there was no answer."""
    done = host.run("curl", "-sS", "-m", "30", "-w", "\n%{http_code}", "-H",
                    f"Content-Type: {content_type}", "--data-binary", "@-", *options, url,
                    input=body)
    text, _, status = done.stdout.rpartition("\n")
    return int(status), (text + done.stderr).strip()


def enrol(base, body, *options, operation="simpleenroll", **kwargs):
    """post() to an authority's `base` URL."""
    return post(f"{base}/.well-known/est/{operation}", body, *options, **kwargs)


def certificates(body, path):
    """Writes the certificates of an answer to a file, in PEM."""
    pkcs7 = f"-----BEGIN PKCS7-----\n{body.strip()}\n-----END PKCS7-----\n"
    host.sh("openssl", "pkcs7", "-print_certs", "-out", path, input=pkcs7)
