"""How the harness reaches a cluster: a session of `requests` as whoever a kubeconfig's user is."""

from __future__ import annotations

import ssl
import tempfile
import warnings
from pathlib import Path

import requests
from urllib3.exceptions import InsecureRequestWarning

from mesh_lab.client import kubeconfig as kubeconfigs
from mesh_lab.client.kubeconfig import Identity, Target
from mesh_lab.errors import LabError


class ClusterUnreachable(Exception):  # noqa: N818 - says what is the case, in pytest's report
    """There is no kubeconfig, it cannot be used, or no cluster answers at its address."""


class User(requests.auth.AuthBase):
    """Has each request of a session be by whoever the user is by then: what a login program gives has its time."""

    def __init__(self, target: Target, session: requests.Session, scratch: Path) -> None:
        """Raises `ClusterUnreachable` when the user cannot log in."""
        self._target = target
        self._session = session
        self._scratch = scratch
        self._shown: Identity | None = None
        self.identity()

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Called by `requests`, before it chooses a connection by the session's certificate."""
        if token := self.identity().token:
            request.headers["Authorization"] = f"Bearer {token}"
        return request

    def identity(self) -> Identity:
        """Who the user is now; the session has the certificate from here on. Raises `ClusterUnreachable`."""
        try:
            who = self._target.user.identity()
        except LabError as error:
            raise ClusterUnreachable(f"{error.message}\n{error.hint}".strip()) from error
        if who.certified and (self._shown is None or self._shown.certificate != who.certificate):
            self._session.cert = (self._file(who.certificate), self._file(who.key))
            self._shown = who
        return who

    def refused(self) -> bool:
        """The cluster does not take that identity: whether there may be another."""
        return self._target.user.refused()

    def context(self) -> ssl.SSLContext:
        """For a connection outside of the session. Raises `ClusterUnreachable`."""
        try:
            return self._target.tls(self.identity())
        except LabError as error:
            raise ClusterUnreachable(error.message) from error

    def _file(self, content: bytes) -> str:
        with tempfile.NamedTemporaryFile(dir=self._scratch, prefix="client-", delete=False) as file:
            file.write(content)
        return file.name


def open_session(kubeconfig: Path, scratch: Path) -> tuple[requests.Session, str, User]:
    """A session as the current context's user, the server's URL, and that user. Key files are put into `scratch`.

    Raises:
        ClusterUnreachable: the kubeconfig cannot be used.
    """
    try:
        target = kubeconfigs.read(kubeconfig)
    except LabError as error:
        raise ClusterUnreachable(f"{error.message}\n{error.hint}".strip()) from error
    session = requests.Session()
    session.trust_env = False
    session.verify = not target.insecure
    if target.insecure:
        # The kubeconfig says so, and says it once.
        warnings.simplefilter("ignore", InsecureRequestWarning)
    elif target.authority:
        with tempfile.NamedTemporaryFile(dir=scratch, prefix="authority-", delete=False) as file:
            file.write(target.authority)
        session.verify = file.name
    user = User(target, session, scratch)
    session.auth = user
    return session, target.url.geturl(), user
