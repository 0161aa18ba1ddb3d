"""The interface of every kind of cluster: it comes up, yields a kubeconfig, has a status, and goes away."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec

Report = Callable[[str], None]
"""Takes one line of progress."""


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
