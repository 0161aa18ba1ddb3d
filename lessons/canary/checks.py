"""The checks of the lesson on canaries: the shares of requests, whatever resources bring them about."""

from __future__ import annotations

from mesh_lab.learn.checking import Given, expect
from mesh_lab.testing import Mesh, assert_all, assert_route_splits

URL = "http://shop/"


def task_1(mesh: Mesh, given: Given) -> None:
    """The shares are those of the variant."""
    weights = {"v1": float(given["old"]), "v2": float(given["new"])}
    look = f"`kubectl -n {mesh.namespace} get virtualservices,destinationrules -o yaml`: subsets, weights, hosts"
    with expect(f"{weights['v1']:g} % of the requests to v1, {weights['v2']:g} % to v2, and no failure", look=look):
        assert_all(mesh.client().send(URL, 50, concurrency=5))
        assert_route_splits(mesh.client(), URL, weights, concurrency=10)


def task_2(mesh: Mesh, given: Given) -> None:
    """All requests go to v2, and v1 could still take them."""
    look = f"`kubectl -n {mesh.namespace} get virtualservices -o yaml`: the weights"
    with expect("all requests go to v2", look=look):
        assert_all(mesh.client().send(URL, 200, concurrency=10), version="v2")
    with expect("the pods of v1 still run: they are the way back", look=f"`kubectl -n {mesh.namespace} get pods`"):
        assert mesh.pods("shop", "v1"), "there is no pod of v1"
