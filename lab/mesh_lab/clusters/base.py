"""What every kind of cluster shares: the interface, and the settings that a cluster takes only when it is started."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec

from mesh_lab.settings import FILE_NAME, Lab

Report = Callable[[str], None]
"""Takes one line of progress."""

_START_SETTINGS: Mapping[str, tuple[str, ...]] = {
    "embedded": ("ip_family", "images", "host_ports", "timeouts.stop", "mesh.profile", "internet"),
    "kind": ("ip_family", "kind.nodes", "kind.zones", "kind.node_image", "kind.registry_mirrors"),
    "existing": (),
}
"""By the kind of cluster, as paths in lab.toml. Ports are not among them: those of a running lab are in its status."""


class ClusterStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What is known of a cluster without a request to its API. `phase` is `stopped`, `starting` or `ready`.

    Of the embedded one: the profile of its mesh, and how many names there are outside of it.
    """

    phase: str = "stopped"
    pid: int | None = None
    started: str | None = None
    ports: dict[str, int] = {}
    profile: str = ""
    internet: int = 0

    @property
    def running(self) -> bool:
        """Whether there is a cluster at all."""
        return self.phase != "stopped"


class Cluster(Protocol):
    """A place for a lab. Every method raises `LabError` for what a person can correct."""

    @property
    def kubeconfig(self) -> Path:
        """The file that leads to the API once the cluster is up."""
        ...

    def up(self, report: Report) -> bool:
        """Bring the cluster up until its API answers. False when it was up already.

        Interrupted or failed, it takes down what it had started; the state that was there stays.
        """
        ...

    def down(self, report: Report) -> bool:
        """Take the cluster down and keep its state. False when it was down already."""
        ...

    def reset(self, report: Report) -> bool:
        """Take the cluster down and delete its state. False when there was nothing to delete."""
        ...

    def status(self) -> ClusterStatus:
        """How it is now."""
        ...


def start_settings(lab: Lab) -> dict[str, Any]:
    """The settings that this lab's cluster keeps from its start on, by their paths, as a JSON record gives them back.

    Through JSON, since a tuple would never equal the list that is read from the record.
    """
    document = msgspec.json.decode(msgspec.json.encode(lab.settings))
    return {path: _at(document, path) for path in _START_SETTINGS[lab.settings.cluster]}


def report_changes(lab: Lab, started_with: Mapping[str, Any], report: Report) -> None:
    """Report which of the settings in `started_with` have changed since, and what applies them."""
    now = start_settings(lab)
    changed = [path for path in now if path in started_with and started_with[path] != now[path]]
    if changed:
        report(
            f"settings ({FILE_NAME}, variables, options) have changed since the lab was started, which has no effect "
            f"yet: {', '.join(changed)}; "
            f"`{lab.command('down')}`, then `{lab.command('up')}` applies it"
        )


def _at(document: Mapping[str, Any], path: str) -> Any:
    value: Any = document
    for key in path.split("."):
        value = value[key]
    return value
