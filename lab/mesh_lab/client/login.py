"""Users whose kubeconfig names a program that logs them in, as those of most clouds do.

The program is run as client.authentication.k8s.io says, without a terminal; what it gives is kept until it expires, or
until the cluster refuses it. See
https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mesh_lab.errors import LabError
from mesh_lab.programs import ProgramFailedError, run
from mesh_lab.rfc3339 import parse

API_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
_LIMIT_SECONDS = 60.0
_MARGIN_SECONDS = 30.0
_CLUSTER_FIELDS = (
    "server",
    "tls-server-name",
    "insecure-skip-tls-verify",
    "certificate-authority-data",
    "proxy-url",
    "disable-compression",
)
_CONFIG_EXTENSION = "client.authentication.k8s.io/exec"


@dataclass(frozen=True)
class Credential:
    """A bearer token, a client certificate with its key (PEM), or both. `expires` is in Unix time."""

    token: str
    certificate: str
    key: str
    expires: float


class Login:
    """One user's program. `directory` is the kubeconfig's, which a command with a slash is relative to."""

    def __init__(self, spec: Mapping[str, Any], cluster: Mapping[str, Any], directory: Path) -> None:
        self._spec = spec
        self._cluster = cluster
        self._directory = directory
        self._lock = threading.Lock()
        self._kept: Credential | None = None

    def credential(self) -> Credential:
        """Return the credential; it is fetched again shortly before it expires.

        Raises:
            LabError: the program failed, or gave no credential; the message quotes it.
        """
        with self._lock:
            if self._kept is None or self._kept.expires - _MARGIN_SECONDS < time.time():
                self._kept = self._fetch()
            return self._kept

    def refused(self, credential: Credential) -> None:
        """Note that the cluster refused this credential (401) before it expired: the next is a new one."""
        with self._lock:
            if self._kept is credential:
                self._kept = None

    def _fetch(self) -> Credential:
        version, command = self._spec.get("apiVersion"), str(self._spec.get("command") or "")
        if version not in API_VERSIONS:
            raise LabError(
                f"the kubeconfig's login program speaks {version!r}", hint=f"Known: {', '.join(API_VERSIONS)}."
            )
        if self._spec.get("interactiveMode") == "Always":
            raise LabError(
                f"the kubeconfig's login program {command} asks its questions at a terminal, each time",
                hint="Give the lab a kubeconfig whose user logs in without: a token, a certificate, another plugin.",
            )
        if os.sep in command:
            command = str(self._directory / command)
        try:
            output = run(
                [command, *(self._spec.get("args") or ())], timeout=_LIMIT_SECONDS, environ=self._environment()
            )
        except ProgramFailedError as error:
            raise LabError(f"the kubeconfig's login program failed\n{error.message}", hint=self._hint()) from error
        except LabError as error:
            raise LabError(f"the kubeconfig's login program: {error.message}", hint=self._hint()) from error
        return _read(output, command, str(version))

    def _environment(self) -> dict[str, str]:
        spec: dict[str, Any] = {"interactive": False}
        if self._spec.get("provideClusterInfo"):
            spec["cluster"] = {field: self._cluster[field] for field in _CLUSTER_FIELDS if field in self._cluster}
            for extension in self._cluster.get("extensions") or ():
                if extension.get("name") == _CONFIG_EXTENSION:
                    spec["cluster"]["config"] = extension.get("extension")
        info = {"apiVersion": self._spec["apiVersion"], "kind": "ExecCredential", "spec": spec}
        own = {entry["name"]: entry["value"] for entry in self._spec.get("env") or ()}
        return {**os.environ, **own, "KUBERNETES_EXEC_INFO": json.dumps(info)}

    def _hint(self) -> str:
        return str(self._spec.get("installHint") or "Run kubectl with this kubeconfig: does it log in?")


def _read(output: str, command: str, version: str) -> Credential:
    """Read the credential from what the program printed.

    Raises:
        LabError: it is not an `ExecCredential` of this version with a credential in it.
    """
    try:
        document = json.loads(output)
        what = f"{document['kind']} of {document['apiVersion']}"
        status = document["status"]
        token = str(status.get("token") or "")
        certificate, key = (str(status.get(f"client{part}Data") or "") for part in ("Certificate", "Key"))
        stamp = status.get("expirationTimestamp")
        expires = parse(stamp).timestamp() if stamp else float("inf")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LabError(f"the kubeconfig's login program {command} gave no credential: {error!r}") from error
    if what != f"ExecCredential of {version}":
        raise LabError(f"the kubeconfig's login program {command} gave {what} instead of ExecCredential of {version}")
    if not token and not (certificate and key):
        raise LabError(
            f"the kubeconfig's login program {command} gave neither a token nor a client certificate with its key"
        )
    return Credential(token, certificate, key, expires)
