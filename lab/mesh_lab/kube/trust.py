"""The authorities that containers trust: those of the machine, and the one of the lab's own internet.

Programs look for authorities in many places. Most read the file that Debian has them in, which is Istio's, too, or one
that the environment names.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from mesh_lab.kube import pki

BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
"""Where containers have all authorities."""

ENVIRONMENT = dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"), BUNDLE)
"""What programs are told that would look elsewhere: OpenSSL's of another distribution, Python's requests, curl."""

_OF_THE_MACHINE = (
    BUNDLE,
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
_READABLE = 0o644


def ensure(state: Path) -> pki.Authority:
    """Return the authority of the lab's internet; write the bundle that containers see.

    Raises:
        PkiError: the authority's files are there and cannot be read.
        OSError: the bundle cannot be written.
    """
    directory = state / "internet"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority = pki.ensure_authority(directory, "mesh-lab internet")
    bundle = _bundle(state)
    bundle.parent.mkdir(exist_ok=True)
    content = _of_the_machine() + authority.pem
    if not bundle.exists() or bundle.read_bytes() != content:
        bundle.write_bytes(content)
        bundle.chmod(_READABLE)
    return authority


def mount(state: Path) -> tuple[str, str]:
    """Return what containers get the bundle by: the path here, and the path in the container.

    That is the file where the machine has one of that name, and otherwise the directory: nothing can be added to one
    that is the machine's.
    """
    bundle = _bundle(state)
    if Path(BUNDLE).exists():
        return str(bundle), BUNDLE
    return str(bundle.parent), str(Path(BUNDLE).parent)


def _bundle(state: Path) -> Path:
    return state / "internet" / "trusted" / Path(BUNDLE).name


def _of_the_machine() -> bytes:
    for path in _OF_THE_MACHINE:
        with contextlib.suppress(OSError):
            return Path(path).read_bytes().rstrip(b"\n") + b"\n"
    return b""
