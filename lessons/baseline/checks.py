"""The checks of the lesson without a mesh: which pods connections reach, and by which chance."""

from __future__ import annotations

import contextlib

from mesh_lab.learn.checking import Given, expect
from mesh_lab.testing import Mesh, assert_all, assert_random_baseline, eventually

CONNECTIONS = 400
RULES_SECONDS = 2.0
"""How long the node may take to have the rules of what the API has: nobody tells when it does."""


def task_1(mesh: Mesh, given: Given) -> None:
    """The pods of shop share the connections at random."""
    count = int(given["pods"])
    look = f"`kubectl -n {mesh.namespace} get pods,endpointslices`: how many are ready?"
    with expect(f"each connection to shop reaches one of {count} pods, at random", look=look):
        pods = _names(mesh, "shop")
        assert len(pods) == count, f"shop has {len(pods)} pods"
        with_sidecar = [pod["metadata"]["name"] for pod in mesh.pods("shop") if len(pod["spec"]["containers"]) > 1]
        assert not with_sidecar, f"{', '.join(with_sidecar)} has a sidecar: this is the lesson without"
        eventually(lambda: pods <= _reached(mesh, "shop"), timeout=RULES_SECONDS, why="connections reach each pod")
        results = mesh.client().send("http://shop/", CONNECTIONS, new_connections=True)
        assert_all(results)
        assert_random_baseline(results, pods)


def task_2(mesh: Mesh, given: Given) -> None:
    """The Service leads to the pods of stock, to each of them and to no others."""
    look = f"`kubectl -n {mesh.namespace} get service store -o yaml`: its selector; `kubectl get pods --show-labels`"
    with expect("connections to store reach pods of stock only", look=look):
        pods = _names(mesh, "stock")
        with contextlib.suppress(TimeoutError):  # what it leads to instead is told below
            eventually(lambda: _reached(mesh, "store") == pods, timeout=RULES_SECONDS, why="the node has the rules")
        reached = _reached(mesh, "store")
        assert reached == pods, f"store leads to {', '.join(sorted(reached))}"
        assert_all(mesh.client().send("http://store/", 50, new_connections=True))
    with expect("connections to shop reach pods of shop only", look=look):
        strangers = _reached(mesh, "shop") - _names(mesh, "shop")
        assert not strangers, f"shop is answered by {', '.join(sorted(strangers))}"


def _names(mesh: Mesh, app: str) -> set[str]:
    return {pod["metadata"]["name"] for pod in mesh.pods(app)}


def _reached(mesh: Mesh, service: str) -> set[str]:
    """The pods that 40 connections reach, failures under their name."""
    results = mesh.client().send(f"http://{service}/", 40, new_connections=True, timeout=3)
    return {result.hostname or result.outcome for result in results}
