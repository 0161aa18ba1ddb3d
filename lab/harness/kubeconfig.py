"""How to reach a cluster: as much of a kubeconfig as certificates, tokens, login programs and a server's address."""

from __future__ import annotations

import base64
import tempfile
from pathlib import Path
from typing import Any

import requests
import yaml

from lab.errors import LabError
from lab.login import Credential, Login


class ClusterUnreachable(Exception):  # noqa: N818 - says what is the case, in pytest's report
    """There is no kubeconfig, it cannot be used, or no cluster answers at its address."""


def open_session(kubeconfig: Path, scratch: Path) -> tuple[requests.Session, str]:
    """A session with the credentials of the current context, and the server's URL. Key files are put into `scratch`.

    Raises:
        ClusterUnreachable: the kubeconfig cannot be used.
    """
    try:
        document = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
        context = _named(document["contexts"], document["current-context"])["context"]
        cluster = _named(document["clusters"], context["cluster"])["cluster"]
        user = _named(document["users"], context["user"])["user"]
    except OSError as error:
        raise ClusterUnreachable(f"cannot read the kubeconfig {kubeconfig}: {error.strerror}") from error
    except (yaml.YAMLError, KeyError, TypeError, StopIteration) as error:
        raise ClusterUnreachable(f"{kubeconfig} is no kubeconfig with a current context: {error!r}") from error
    session = requests.Session()
    session.trust_env = False
    session.verify = _file(cluster, "certificate-authority", kubeconfig, scratch) or True
    if "exec" in user:
        user = {**user, **_log_in(session, Login(user["exec"], cluster, kubeconfig.parent))}
    certificate = _file(user, "client-certificate", kubeconfig, scratch)
    key = _file(user, "client-key", kubeconfig, scratch)
    if certificate and key:
        session.cert = (certificate, key)
    if "token" in user:
        session.headers["Authorization"] = f"Bearer {user['token']}"
    return session, str(cluster["server"]).rstrip("/")


def _log_in(session: requests.Session, login: Login) -> dict[str, str]:
    """Has a token of the login program in each request; gives what it says for the user's own fields."""

    def authorize(request: requests.PreparedRequest) -> requests.PreparedRequest:
        if token := _credential(login).token:
            request.headers["Authorization"] = f"Bearer {token}"
        return request

    session.auth = authorize
    given = {"client-certificate": _credential(login).certificate, "client-key": _credential(login).key}
    return {f"{field}-data": base64.b64encode(text.encode()).decode() for field, text in given.items() if text}


def _credential(login: Login) -> Credential:
    try:
        return login.credential()
    except LabError as error:
        raise ClusterUnreachable(f"{error.message}\n{error.hint}".strip()) from error


def _named(entries: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(entry for entry in entries if entry["name"] == name)


def _file(section: dict[str, Any], field: str, kubeconfig: Path, scratch: Path) -> str | None:
    if data := section.get(f"{field}-data"):
        with tempfile.NamedTemporaryFile(dir=scratch, prefix=f"{field}-", delete=False) as file:
            file.write(base64.b64decode(data))
        return file.name
    path = section.get(field)
    return str(kubeconfig.parent / path) if path else None
