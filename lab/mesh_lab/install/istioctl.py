"""Istio by `istioctl install`: its configuration, its progress, its removal.

See https://istio.io/latest/docs/reference/config/istio.operator.v1alpha1/ for the overlay.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from mesh_lab.client import istiostatus
from mesh_lab.client.api import Api
from mesh_lab.clusters.base import Report
from mesh_lab.clusters.kind.config import NODE_PORTS
from mesh_lab.errors import LabError
from mesh_lab.install.readiness import Workload, describe
from mesh_lab.programs import Program, ProgramFailedError, Programs, stream
from mesh_lab.settings import MINIMUM_ISTIO, Istio, Lab

ISTIOCTL = Program(
    "istioctl",
    "it installs Istio",
    "`{install}` downloads the pinned version into .lab/bin; or see "
    "https://istio.io/latest/docs/ops/diagnostic-tools/istioctl/",
    version=("version", "--remote=false", "--short"),
)
NAMESPACE = "istio-system"
GATEWAY = "istio-ingressgateway"
_MARGIN_SECONDS = 30.0
_UNINSTALL_SECONDS = 180.0
_BASE: dict[str, Any] = {
    "meshConfig": {"accessLogFile": "/dev/stdout"},
    "global": {"istiod": {"enableAnalysis": True}},
    "pilot": {"env": {istiostatus.ANALYSIS_INTERVAL: "1s"}},
}
"""As the lab's own control plane has it; [istio.values] overrules it.

A resource without findings is live only once an analysis must have run (see `mesh_lab.client.istiostatus`). A second is
the shortest interval that Istio takes: it reads anything less as its default of ten.
"""
_SMALL_PROXY = {"requests": {"cpu": "10m", "memory": "40Mi"}}
_SMALL: dict[str, Any] = {
    "pilot": {"autoscaleEnabled": False, "resources": {"requests": {"cpu": "10m", "memory": "100Mi"}}},
    "global": {"proxy": {"resources": _SMALL_PROXY}},
    "gateways": {GATEWAY: {"autoscaleEnabled": False}},
}
"""What Istio's demo profile asks of a node. The other profiles are for servers: two cores hold half of the samples."""

_DUAL: dict[str, Any] = {
    "pilot": {"env": {"ISTIO_DUAL_STACK": "true"}},
    "meshConfig": {"defaultConfig": {"proxyMetadata": {"ISTIO_DUAL_STACK": "true"}}},
}
"""For clusters of both IP families; see https://istio.io/latest/docs/setup/additional-setup/dual-stack/."""


@dataclass(frozen=True)
class Istioctl:
    """istioctl for one cluster."""

    lab: Lab
    environ: Mapping[str, str]

    @classmethod
    def of(cls, lab: Lab) -> Istioctl:
        """With this process' environment."""
        return cls(lab, os.environ)

    @property
    def workloads(self) -> set[Workload]:
        """What an installation makes: the control plane."""
        revision = self.lab.settings.istio.revision
        return {Workload(NAMESPACE, f"istiod-{revision}" if revision else "istiod")}

    def command(self, file: Path) -> list[str]:
        """Return the command line of an installation.

        Raises:
            LabError: istioctl is missing.
        """
        command = [self._program(), "install", "--skip-confirmation", "--filename", str(file), *self._cluster()]
        return [*command, "--readiness-timeout", f"{self.lab.settings.istio.install_timeout}s"]

    def version(self) -> str:
        """Return the version that an installation makes: istioctl's own.

        Raises:
            LabError: istioctl is missing or too old.
        """
        programs = self._programs()
        found = programs.version(ISTIOCTL)
        if found and found[:2] < MINIMUM_ISTIO:
            minimum = ".".join(str(part) for part in MINIMUM_ISTIO)
            raise LabError(
                f"istioctl {'.'.join(str(part) for part in found)} is too old; the lab needs {minimum} or later",
                hint=programs.remedy(ISTIOCTL),
            )
        return ".".join(str(part) for part in found) or "of unknown version"

    def install(self, api: Api, report: Report, *, owner: str, gateway: bool) -> None:
        """Install or bring up to date. While nothing moves, the pods' conditions and events are reported.

        All that is made is labelled as `owner`'s (see `owned`). `gateway`: with an ingress gateway on the nodes' ports.

        Raises:
            LabError: istioctl failed; the message has the pods' conditions and events.
        """
        report(f"installing Istio {self.version()}")
        file = self._write(
            overlay(self.lab.settings.istio, owner=owner, gateway=gateway, dual=self.lab.settings.ip_family == "dual")
        )
        watched = self.workloads | ({Workload(NAMESPACE, GATEWAY)} if gateway else set())
        changes = _Changes(lambda: describe(api, watched), report)
        limit = self.lab.settings.istio.install_timeout + _MARGIN_SECONDS
        try:
            stream(
                self.command(file),
                timeout=limit,
                report=report,
                environ=self._environment(),
                when_silent=changes.report,
            )
        except ProgramFailedError as error:
            raise LabError(
                "\n".join((error.message, *changes.now())),
                hint="The images cannot be pulled? [kind.registry_mirrors] in lab.toml. Else: kubectl -n "
                f"{NAMESPACE} describe pods",
            ) from error

    def uninstall(self, report: Report, *, owner: str, revision: str) -> None:
        """Remove the control plane that `install` has made for this owner.

        istioctl leaves what belongs to all control planes of a cluster: see `owned`. Its `--purge` would remove that,
        but also other control planes, and the kinds of resource with all their resources.

        Raises:
            LabError: istioctl failed.
        """
        which = msgspec.structs.replace(self.lab.settings.istio, revision=revision)
        file = self._write(overlay(which, owner=owner, gateway=False))
        command = [self._program(), "uninstall", "--filename", str(file), "--skip-confirmation", *self._cluster()]
        stream(command, timeout=_UNINSTALL_SECONDS, report=report, environ=self._environment())

    def _write(self, document: Mapping[str, Any]) -> Path:
        file = self.lab.state_dir / "istio.yaml"
        file.write_text(json.dumps(document, indent=2) + "\n")
        return file

    def _program(self) -> str:
        return self._programs().need(ISTIOCTL)

    def _cluster(self) -> list[str]:
        return ["--kubeconfig", str(self.lab.kubeconfig)]

    def _environment(self) -> dict[str, str]:
        return self._programs().environment()

    def _programs(self) -> Programs:
        return Programs(self.lab.tools_dir, self.environ, self.lab.tools_command)


class _Changes:
    """Reports the pods' conditions and events when they have changed since the last time."""

    def __init__(self, ask: Callable[[], list[str]], report: Report) -> None:
        self._ask, self._report = ask, report
        self._last: list[str] = []

    def now(self) -> list[str]:
        """The lines of now, or the error that prevents them."""
        try:
            return self._ask()
        except LabError as error:
            return [error.message]

    def report(self) -> None:
        """Report the lines unless they are those of the last time."""
        lines = self.now()
        if lines != self._last:
            self._report("\n".join(["still waiting:", *lines]))
        self._last = lines


def owned(owner: str) -> str:
    """The label, as a selector, that istioctl puts on all that it makes for an `IstioOperator` of this name."""
    return f"install.operator.istio.io/owning-resource={owner}"


def overlay(istio: Istio, *, owner: str, gateway: bool, dual: bool = False) -> dict[str, Any]:
    """The `IstioOperator` that says what to install. `owner` is its name.

    `gateway` is for a cluster on one machine: an ingress gateway on the nodes' ports, and small requests. `dual`: for
    one of both IP families.
    """
    spec: dict[str, Any] = {
        "profile": istio.profile,
        "values": merged(merged(merged(_BASE, _SMALL if gateway else {}), _DUAL if dual else {}), istio.values),
        "components": {"ingressGateways": [_gateway() if gateway else {"name": GATEWAY, "enabled": False}]},
    }
    if istio.revision:
        spec["revision"] = istio.revision
    return {
        "apiVersion": "install.istio.io/v1alpha1",
        "kind": "IstioOperator",
        "metadata": {"namespace": NAMESPACE, "name": owner},
        "spec": spec,
    }


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two trees; where both have a value, that of `over` counts."""
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        result[key] = merged(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return result


def _gateway() -> dict[str, Any]:
    """Its Service on fixed ports of the nodes, which kind maps to the host's."""
    ports = [
        {"name": "status-port", "port": 15021, "targetPort": 15021, "protocol": "TCP"},
        {"name": "http2", "port": 80, "targetPort": 8080, "nodePort": NODE_PORTS["http"], "protocol": "TCP"},
        {"name": "https", "port": 443, "targetPort": 8443, "nodePort": NODE_PORTS["https"], "protocol": "TCP"},
    ]
    kubernetes = {"service": {"type": "NodePort", "ports": ports}, "resources": _SMALL_PROXY}
    return {"name": GATEWAY, "enabled": True, "k8s": kubernetes}
