"""What a lab weighs: the proportional set size of its processes, by what they are."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import psutil

MEGABYTE = 1024 * 1024
GROUPS = (
    ("host process", "mesh_lab.clusters.embedded.host"),
    ("kube process", "mesh_lab.kube --config-fd"),
    ("runtime", "mesh_lab.kube.node.runtime"),
    ("host port relay", "lab/mesh_lab/kube/network/relay.py"),
    ("control plane", "mesh_lab.controlplane"),
    ("envoy", "envoy"),
    ("sample services", "mesh_lab.apps"),
)


@dataclass(frozen=True)
class Weight:
    """Processes of one kind and what they weigh together."""

    processes: int
    pss_mb: float


def weigh(first_process: int) -> dict[str, Weight]:
    """The lab whose first process is `first_process`: a group for each kind of process, and `total`."""
    first = psutil.Process(first_process)
    found: dict[str, list[int]] = {}
    for process in (first, *first.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            found.setdefault(_group(process.cmdline()), []).append(process.memory_full_info().pss)
    groups = {name: Weight(len(sizes), round(sum(sizes) / MEGABYTE, 1)) for name, sizes in found.items()}
    everything = [size for sizes in found.values() for size in sizes]
    return groups | {"total": Weight(len(everything), round(sum(everything) / MEGABYTE, 1))}


def _group(command: list[str]) -> str:
    text = " ".join(command)
    return next((name for name, mark in GROUPS if mark in text), "other")
