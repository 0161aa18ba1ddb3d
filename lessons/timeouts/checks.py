"""The checks of the lesson on time limits: what slow requests get, and when."""

from __future__ import annotations

from statistics import median

from mesh_lab.learn.checking import Given, expect
from mesh_lab.testing import Mesh, assert_all, assert_lasted

COUNT = 4
SLACK_SECONDS = 0.35
"""What a busy machine may add; less than the limits of any variant."""


def task_1(mesh: Mesh, given: Given) -> None:
    """The limit holds for what is slow, and for nothing else."""
    _limited(mesh, "/", float(given["limit"]))


def task_2(mesh: Mesh, given: Given) -> None:
    """Each path has its own limit."""
    _limited(mesh, "/", float(given["limit"]))
    _limited(mesh, f"{given['path']}/7", float(given["longer"]))


def _limited(mesh: Mesh, path: str, limit: float) -> None:
    client, look = mesh.client(), f"`kubectl -n {mesh.namespace} get virtualservices -o yaml`: timeout, and its rule"
    fast = limit / 2
    with expect(f"a request to {path} that takes {fast:g} s, which is in time, is answered", look=look):
        assert_all(client.send(f"http://shop{path}?delay={fast}", COUNT, concurrency=COUNT))
    with expect(f"a request to {path} that takes longer gets 504 after {limit:g} s", look=look):
        slow = client.send(f"http://shop{path}?delay={3 * limit + 1}", COUNT, concurrency=COUNT)
        assert_all(slow, status=504)
        took = median(result.duration_ms for result in slow) / 1000
        times = f"{took / limit:.0f} times the limit"
        assert took < 2 * limit, f"requests to {path} were given up after {took:.1f} s, {times}"
        assert_lasted(slow, limit, limit + SLACK_SECONDS)
