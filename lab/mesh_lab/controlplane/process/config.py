"""istiod's settings, from its environment.

Where the API server is, istiod's own names, which ports it serves, how long certificates live. Names are Istio's where
Istio has one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from mesh_lab.controlplane.process.plane import DEFAULT, THE_DEFAULT, ControlPlane
from mesh_lab.meshkinds import DEFAULT_DIALECTS, DIALECTS

_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")

# Durations as Go writes them, which is how Istio's environment has them.
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")


@dataclass(frozen=True)
class Ports:
    """The ports istiod listens on; 0 takes any free one. That of ControlZ is on the loopback only.

    `debug` serves the same as `monitoring`: Istio's manifests probe it.
    """

    xds: int = 15012
    webhook: int = 15017
    monitoring: int = 15014
    controlz: int = 9876
    debug: int = 8080


@dataclass(frozen=True)
class Settings:
    """All that istiod needs to know before its first request to the API server.

    `crash_directory` takes a file for each fault of istiod itself; none are written without it.

    `issue_for` is the life of a workload certificate. `debounce` is how long a change waits for others before it is
    pushed, unless it is the first after a quiet time, and `debounce_max` for how long a stream of changes may put that
    off. `dialects` are the vocabularies that are read; of those beside Istio's, the kinds whose definitions are in the
    cluster.
    """

    api_server: str
    token_file: Path = _SERVICE_ACCOUNT / "token"
    ca_file: Path = _SERVICE_ACCOUNT / "ca.crt"
    pod: str = "istiod"
    plane: ControlPlane = THE_DEFAULT
    cluster_domain: str = "cluster.local"
    dialects: tuple[str, ...] = DEFAULT_DIALECTS
    issue_for: timedelta = timedelta(hours=24)
    debounce: float = 0.002
    debounce_max: float = 0.02
    crash_directory: Path | None = None
    host: str = "0.0.0.0"
    ports: Ports = field(default_factory=Ports)

    @property
    def namespace(self) -> str:
        """Where istiod runs."""
        return self.plane.namespace

    @property
    def dns_names(self) -> tuple[str, ...]:
        """The names by which proxies and the API server call istiod; istioctl calls each revision by the plain one."""
        service = self.plane.named("istiod")
        short, plain = f"{service}.{self.namespace}.svc", f"istiod.{self.namespace}.svc"
        names = (short, f"{short}.{self.cluster_domain}", f"{service}.{self.namespace}")
        return names if short == plain else (*names, plain)


def from_environment(environment: Mapping[str, str]) -> Settings:
    """Settings of a pod.

    Raises:
        ValueError: a variable, which it names, is missing or malformed.
    """
    host, port = environment.get("KUBERNETES_SERVICE_HOST", ""), environment.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise ValueError("KUBERNETES_SERVICE_HOST is not set: istiod runs as a pod")
    return Settings(
        api_server=f"https://{f'[{host}]' if ':' in host else host}:{port}",
        pod=environment.get("POD_NAME", "istiod"),
        plane=ControlPlane(environment.get("REVISION") or DEFAULT, environment.get("POD_NAMESPACE", "istio-system")),
        crash_directory=Path(crashes) if (crashes := environment.get("CRASH_DIRECTORY")) else None,
        dialects=_dialects(environment.get("DIALECTS", "")),
        issue_for=timedelta(seconds=_seconds(environment, "DEFAULT_WORKLOAD_CERT_TTL", "24h")),
        debounce=_seconds(environment, "PILOT_DEBOUNCE_AFTER", "2ms"),
        debounce_max=_seconds(environment, "PILOT_DEBOUNCE_MAX", "20ms"),
    )


def without_effect(arguments: Sequence[str]) -> list[str]:
    """Those of pilot-discovery's arguments, as Istio's manifests give them, that change something only there."""
    options = [word for word in arguments if word != "discovery"]
    values = {"--domain": "cluster.local", "--monitoringAddr": ":15014"}
    found: list[str] = []
    while options:
        name, given, value = options.pop(0).partition("=")
        if not given and options and not options[0].startswith("--"):
            value = options.pop(0)
        if values.get(name) != value:
            found.append(f"{name}={value}" if value else name)
    return found


def _dialects(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if unknown := [name for name in names if name not in DIALECTS]:
        raise ValueError(f"DIALECTS={text!r}: there is no {unknown[0]!r}; there are {', '.join(DIALECTS)}")
    return names or DEFAULT_DIALECTS


def _seconds(environment: Mapping[str, str], name: str, default: str) -> float:
    text = environment.get(name, default)
    match = _DURATION.fullmatch(text)
    value = float(match[1]) * _UNITS[match[2]] if match else 0.0
    if not value:
        raise ValueError(f"{name}={text!r} is not a positive duration such as 24h, 90s or 2ms")
    return value
