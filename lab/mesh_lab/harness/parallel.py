"""Tests of the mesh under pytest-xdist: one test at a time changes what belongs to the cluster and not to a namespace.

Each worker makes namespaces of its own, so most tests do not concern each other. A test that is marked `mesh_exclusive`
changes what all share (the control plane, the mesh's settings, an object without a namespace): it waits until no other
test of the mesh is under way, and the others wait for it.
"""

from __future__ import annotations

import fcntl
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

DIRECTORY = "mesh_turns"
MARKER = "mesh_exclusive"
FIXTURES = {"mesh_api", "mesh_kubeconfig"}
"""A test that uses one of these fixtures is a test of the mesh."""


class Turns:
    """Locks in the files of a directory, which the processes of a run share. Those of a process that dies are free."""

    def __init__(self, directory: Path) -> None:
        self._queue, self._cluster = directory / "queue", directory / "cluster"

    @contextmanager
    def taken(self, *, exclusively: bool) -> Iterator[None]:
        """Hold the cluster, shared or exclusively, during a `with` block.

        A test that comes after one that waits for it exclusively queues behind that one, which else might wait forever.
        """
        with self._queue.open("w") as queue, self._cluster.open("w") as cluster:
            fcntl.flock(queue, fcntl.LOCK_EX)
            fcntl.flock(cluster, fcntl.LOCK_EX if exclusively else fcntl.LOCK_SH)
            fcntl.flock(queue, fcntl.LOCK_UN)
            yield


class Controller:
    """The process that hands the tests out: it makes the directory of the locks."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="mesh-lab-turns-")

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell a worker where the locks are."""
        node.workerinput[DIRECTORY] = self._directory.name

    def pytest_unconfigure(self) -> None:
        """Remove them."""
        self._directory.cleanup()


class Worker:
    """A process that runs tests."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Run a test of the mesh in its turn. The time that it waits does not count against its own time limit."""
        exclusively = item.get_closest_marker(MARKER) is not None
        if not exclusively and FIXTURES.isdisjoint(getattr(item, "fixturenames", ())):
            return (yield)
        with self._turns.taken(exclusively=exclusively):
            return (yield)


def register(config: pytest.Config) -> None:
    """Add what this process of pytest-xdist needs."""
    given = getattr(config, "workerinput", None)
    plugin = Controller() if given is None else Worker(Turns(Path(given[DIRECTORY])))
    config.pluginmanager.register(plugin, "mesh-lab-parallel")
