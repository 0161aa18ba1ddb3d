"""What the first process of an embedded cluster is told to do, made of the lab's settings and of this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mesh_lab.clusters.base import start_settings
from mesh_lab.clusters.embedded import internet, namespaces, ownimages
from mesh_lab.settings import Lab

GATEWAY = ("istio-system", "istio-ingressgateway")
_GATEWAY_PORTS = {"http": 80, "https": 443, "tcp": 31400}
"""The ingress gateway's ports that have one of the lab's own on the host."""
_LARGE_BYTES = 128 * 1024
"""Blocks of memory of this size the kube process gives back when it frees them. It is glibc's own size at the start of
a process; unless it is set, it grows with what is freed, and 3 MB of bodies and files read at the start stay.
"""


def describe(lab: Lab, environ: Mapping[str, str], kube_command: Sequence[str], source: str) -> dict[str, Any]:
    """Return the input of `host.Host`: the kube process' command, environment and configuration, and the ports.

    `source` is the directory that the package is imported from.

    Raises:
        LabError: the names of the lab's internet do not fit, or the lab's own images; see `internet.sites` and
            `ownimages.images`.
    """
    settings = lab.settings
    user_namespace = namespaces.rootless()
    extra = {f"host_ports[{i}]": entry for i, entry in enumerate(settings.host_ports)}
    own = settings.own_ports
    gateway = [
        {"namespace": GATEWAY[0], "service": GATEWAY[1], "port": port, "label": label}
        for label, port in _GATEWAY_PORTS.items()
        if label in own
    ]
    sites = internet.sites(settings.internet, lab.directory)
    services = [
        {"namespace": e.namespace, "service": e.service, "port": e.port, "label": label} for label, e in extra.items()
    ]
    return {
        "name": lab.name,
        "state_dir": str(lab.state_dir),
        "ports": own | {label: entry.host_port for label, entry in extra.items()},
        "command": namespaces.isolate(list(kube_command), user_namespace=user_namespace),
        "environment": {
            "PATH": search_path(environ),
            "PYTHONPATH": source,
            "HOME": environ.get("HOME", "/"),
            "LANG": "C.UTF-8",
            "MALLOC_MMAP_THRESHOLD_": str(_LARGE_BYTES),
        },
        "stop_timeout_s": settings.timeouts.stop,
        "settings": start_settings(lab),
        "profile": settings.mesh.profile,
        "internet": len(sites or ()),
        "kube": {
            "rootless": user_namespace,
            "read_only_dirs": namespaces.shared_directories(),
            "images": ownimages.images(lab),
            "host_ports": gateway + services,
            "internet": sites,
            "ipv6": {} if settings.ip_family == "dual" else None,
        },
    }


def search_path(environ: Mapping[str, str]) -> str:
    """Return the PATH of the lab's processes: the virtual environment's programs first, whatever the caller's says."""
    return os.pathsep.join((str(Path(sys.executable).parent), namespaces.search_path(environ)))
