"""What Istio's image of a proxy begins with: `pilot-agent proxy router`, as its charts' own gateways run it.

Envoy needs no agent here. This makes of the arguments and the environment the bootstrap that the injector would have
made, and becomes Envoy. Options and variables that have no effect are named in the log.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from mesh_lab.controlplane.injection import bootstrap, securemetrics
from mesh_lab.controlplane.injection.bootstrap import ProxySettings
from mesh_lab.controlplane.world.proxy import ProxyKind
from mesh_lab.controlplane.xds.peers import pack_fields
from mesh_lab.controlplane.xds.telemetry import PEER_VARIABLE

log = logging.getLogger(__name__)

_LABELS = Path("/etc/istio/pod/labels")
_WITHOUT_VALUE = re.compile(r"--[^=]+=.*")
_UNDERSTOOD = frozenset({"--domain", "--proxyLogLevel", "--concurrency"})
_DEFAULT_PLANE = "istiod.istio-system.svc:15012"
_LABEL = re.compile(r'([^=]+)="(.*)"')


@dataclass(frozen=True)
class Command:
    """The arguments: `proxy`, the kind of proxy, and options."""

    kind: ProxyKind
    options: Mapping[str, str]


def parse(arguments: Sequence[str]) -> Command:
    """The command that the arguments are.

    Raises:
        ValueError: it is not `proxy`, or its kind is not one of Istio's.
    """
    words = list(arguments)
    if not words or words.pop(0) != "proxy":
        raise ValueError(f"the lab's pilot-agent has only the command proxy, not {' '.join(arguments)!r}")
    kind = words.pop(0) if words and not words[0].startswith("-") else "sidecar"
    if kind not in ("router", "sidecar"):
        raise ValueError(f"a proxy is a router or a sidecar, not {kind!r}")
    options: dict[str, str] = {}
    while words:
        name = words.pop(0)
        if _WITHOUT_VALUE.fullmatch(name):
            name, _, value = name.partition("=")
        else:
            value = words.pop(0) if words and not words[0].startswith("--") else "true"
        options[name] = value
    return Command("router" if kind == "router" else "sidecar", options)


def settings(command: Command, environment: Mapping[str, str]) -> ProxySettings:
    """The proxy's settings.

    Raises:
        ValueError: an option has a bad value.
    """
    host, _, port = environment.get("CA_ADDR", _DEFAULT_PLANE).rpartition(":")
    namespace = environment.get("POD_NAMESPACE", "")
    domain = command.options.get("--domain", "").removeprefix(f"{namespace}.svc.") or "cluster.local"
    concurrency = command.options.get("--concurrency", "1")
    if not concurrency.isdigit() or not port.isdigit():
        raise ValueError(f"--concurrency={concurrency}, CA_ADDR={host}:{port}: both end in a number")
    return ProxySettings(
        kind=command.kind,
        workload=environment.get("ISTIO_META_WORKLOAD_NAME", ""),
        control_plane=host,
        control_plane_port=int(port),
        cluster_domain=domain,
        # 0 is as many threads as there are processors.
        concurrency=int(concurrency) or (os.cpu_count() or 1),
        log_level=command.options.get("--proxyLogLevel", "warning"),
        secure=securemetrics.of(environment),
    )


def arguments(proxy: ProxySettings, environment: Mapping[str, str]) -> list[str]:
    """Envoy's arguments, in which the variables are replaced that Kubernetes replaces in a container's own."""
    return [expanded(each, environment) for each in bootstrap.arguments(proxy)]


def expanded(text: str, environment: Mapping[str, str]) -> str:
    """A text with the values of `$(NAME)`, as Kubernetes puts them in."""
    return re.sub(r"\$\(([A-Z_]+)\)", lambda found: environment.get(found[1], found[0]), text)


def peer(proxy: ProxySettings, environment: Mapping[str, str], labels: Mapping[str, str]) -> str:
    """What the proxy says of itself where there is no certificate."""
    return pack_fields(environment.get("POD_NAMESPACE", ""), proxy.workload or environment.get("POD_NAME", ""), labels)


def labels_in(text: str) -> dict[str, str]:
    """The labels in a file of the downward API: lines of `name="value"`."""
    found = (_LABEL.fullmatch(line) for line in text.splitlines())
    return {match[1]: match[2] for match in found if match}


def main() -> NoReturn:
    """Become Envoy.

    Raises:
        SystemExit: with code 2, when the arguments are wrong.
    """
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(levelname)-7s %(message)s")
    try:
        command = parse(sys.argv[1:])
        proxy = settings(command, os.environ)
    except ValueError as error:
        print(f"pilot-agent: {error}", file=sys.stderr)  # noqa: T201
        raise SystemExit(2) from None
    if ignored := sorted(command.options.keys() - _UNDERSTOOD):
        log.info("without effect here: %s", ", ".join(ignored))
    labels = labels_in(_LABELS.read_text()) if _LABELS.exists() else {}
    environment = {**os.environ, PEER_VARIABLE: peer(proxy, os.environ, labels)}
    os.execvpe("envoy", ["envoy", *arguments(proxy, environment)], environment)


if __name__ == "__main__":
    main()
