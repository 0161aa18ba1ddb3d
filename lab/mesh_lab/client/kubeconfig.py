"""What a kubeconfig's current context says: the API's address, its authority, the user.

Only what the lab's own connections need; kubectl reads the same file by itself. A field that is not understood is
refused, since ignoring it could lead to another server or another user. See
https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/
"""

from __future__ import annotations

import base64
import contextlib
import os
import ssl
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from mesh_lab.client.login import Login
from mesh_lab.errors import LabError

_NOT_USED = ("proxy-url", "tls-server-name")


@dataclass(frozen=True)
class Identity:
    """A user's credentials: a bearer token, a client certificate with its key (PEM), or both."""

    token: str
    certificate: bytes
    key: bytes

    @property
    def certified(self) -> bool:
        """Whether there is a certificate to show."""
        return bool(self.certificate and self.key)


@dataclass(frozen=True)
class User:
    """A kubeconfig's user. What a login program or a file gives may expire, so it is read again for each use."""

    own: Identity
    token_file: Path | None
    login: Login | None

    def identity(self) -> Identity:
        """Return the credentials of the moment.

        Raises:
            LabError: the token's file cannot be read, or the login program fails.
        """
        own = self.own
        if self.token_file is not None:
            try:
                own = Identity(self.token_file.read_text(encoding="utf-8").strip(), own.certificate, own.key)
            except (OSError, UnicodeDecodeError) as error:
                raise LabError(f"cannot read the kubeconfig's token in {self.token_file}: {error}") from error
        if self.login is None:
            return own
        given = self.login.credential()
        if own.certified:
            return Identity(given.token, own.certificate, own.key)
        return Identity(given.token, given.certificate.encode(), given.key.encode())

    def refused(self) -> bool:
        """Note that the cluster refused the identity of the moment; return whether there may be another."""
        if self.login is not None:
            self.login.refused(self.login.credential())
        return self.login is not None


@dataclass(frozen=True)
class Target:
    """A cluster's API: its address, the authority (PEM) that has signed its certificate, and the user."""

    url: SplitResult
    authority: bytes | None
    insecure: bool
    user: User

    def tls(self, who: Identity) -> ssl.SSLContext:
        """Return the TLS context to connect with.

        Raises:
            LabError: a certificate cannot be used.
        """
        try:
            context = ssl.create_default_context(cadata=self.authority.decode() if self.authority else None)
            if self.insecure:
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            if who.certified:
                with secret(who.certificate + b"\n" + who.key) as file:
                    context.load_cert_chain(file)
        except (ssl.SSLError, ValueError) as error:
            raise LabError(f"the certificates for {self.url.netloc} cannot be used: {error}") from error
        return context


def read(file: Path) -> Target:
    """Read the API's address and user from a kubeconfig's current context.

    Raises:
        LabError: the kubeconfig is missing, broken, or asks for what the lab cannot do.
    """
    import yaml

    try:
        document = yaml.load(file.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        context = _named(document, "contexts", document["current-context"])["context"]
        cluster = _named(document, "clusters", context["cluster"])["cluster"]
        user = _named(document, "users", context["user"]).get("user") or {}
        _refuse_unknown(file, cluster)
        authority = _content(cluster, "certificate-authority", file)
        insecure = cluster.get("insecure-skip-tls-verify") is True
        return Target(_address(str(cluster["server"])), authority or None, insecure, _user(user, cluster, file))
    except OSError as error:
        what = "the kubeconfig " if error.filename in (None, str(file)) else ""
        raise LabError(f"cannot read {what}{error.filename or file}: {error.strerror or error}") from error
    except (KeyError, TypeError, AttributeError, ValueError, LookupError, yaml.YAMLError) as error:
        raise LabError(f"{file} is not a kubeconfig that leads anywhere: {error!r}") from error


def _address(server: str) -> SplitResult:
    """Parse a cluster's address, which may have a path.

    Raises:
        ValueError: it is not a URL with a host.
    """
    url = urlsplit(server.rstrip("/"))
    if not url.hostname or url.port == 0:
        raise ValueError(f"{server!r} is no address")
    return url


def _refuse_unknown(file: Path, cluster: Mapping[str, Any]) -> None:
    if asked := [field for field in _NOT_USED if cluster.get(field)]:
        raise LabError(
            f"{file}: its cluster asks for {' and '.join(asked)}, which the lab does not do",
            hint="Give the lab a kubeconfig that reaches the cluster's API without.",
        )


def _user(user: Mapping[str, Any], cluster: Mapping[str, Any], file: Path) -> User:
    own = Identity(
        str(user.get("token") or ""),
        _content(user, "client-certificate", file),
        _content(user, "client-key", file),
    )
    token_file = file.parent / user["tokenFile"] if user.get("tokenFile") else None
    login = Login(user["exec"], cluster, file.parent) if "exec" in user else None
    if not (own.certified or own.token or token_file or login):
        raise LabError(f"{file}: its user has neither a client certificate, a token nor a login program")
    return User(own, token_file, login)


def _named(document: Mapping[str, Any], collection: str, name: str) -> Mapping[str, Any]:
    for entry in document[collection]:
        if entry["name"] == name:
            found: Mapping[str, Any] = entry
            return found
    raise LookupError(f"no {name!r} among its {collection}")


def _content(section: Mapping[str, Any], field: str, kubeconfig: Path) -> bytes:
    """A field that is either embedded (`-data`) or the name of a file beside the kubeconfig."""
    data = section.get(f"{field}-data")
    if isinstance(data, str):
        return base64.b64decode(data)
    if file := section.get(field):
        return kubeconfig.parent.joinpath(str(file)).read_bytes()
    return b""


@contextlib.contextmanager
def secret(content: bytes) -> Iterator[Path]:
    """A file for programs that take a secret only from a file: in memory where the system can, else on disk."""
    if not hasattr(os, "memfd_create"):
        with tempfile.NamedTemporaryFile() as file:
            file.write(content)
            file.flush()
            yield Path(file.name)
        return
    descriptor = os.memfd_create("secret")
    try:
        os.write(descriptor, content)
        yield Path(f"/proc/{os.getpid()}/fd/{descriptor}")
    finally:
        os.close(descriptor)
