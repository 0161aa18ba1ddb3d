"""The settings that a cluster takes only when it is started, and which of them have been changed since."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from mesh_lab.clusters.base import Report
from mesh_lab.settings import FILE_NAME, Lab

_FIXED: Mapping[str, tuple[str, ...]] = {
    "embedded": ("images", "host_ports", "timeouts.stop", "mesh.profile", "internet"),
    "kind": ("kind.nodes", "kind.zones", "kind.node_image", "kind.registry_mirrors"),
    "existing": (),
}
"""By the kind of cluster, as paths in lab.toml. Ports are not among them: those of a running lab are in its status."""


def fixed(lab: Lab) -> dict[str, Any]:
    """The settings that this lab's cluster keeps from its start on, by their paths, as plain values for a record."""
    document = msgspec.to_builtins(lab.settings)
    return {path: _at(document, path) for path in _FIXED[lab.settings.cluster]}


def report_changes(lab: Lab, started_with: Mapping[str, Any], report: Report) -> None:
    """Report which of the settings that `started_with` holds are others now, and what applies them."""
    now = fixed(lab)
    changed = [path for path in now if path in started_with and started_with[path] != now[path]]
    if changed:
        report(
            f"{FILE_NAME} has changed since the lab was started, which has no effect yet: {', '.join(changed)}; "
            f"`{lab.command('down')}`, then `{lab.command('up')}` applies it"
        )


def _at(document: Mapping[str, Any], path: str) -> Any:
    value: Any = document
    for key in path.split("."):
        value = value[key]
    return value
