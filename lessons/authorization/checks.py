"""The checks of the lesson on authorisation: who gets an answer, and who 403."""

from __future__ import annotations

from mesh_lab.learn.checking import Given, expect
from mesh_lab.testing import Mesh, assert_allowed, assert_denied

COUNT = 5
URL = "http://shop/cart"
CLIENTS = ("web", "batch", "guest")


def task_1(mesh: Mesh, given: Given) -> None:
    """The reader may read, and nobody may do anything else."""
    _readers(mesh, given)


def task_2(mesh: Mesh, given: Given) -> None:
    """One path is for nobody; the rest stays as it was."""
    _readers(mesh, given)
    reader, path = str(given["reader"]), str(given["path"])
    look = f"`kubectl -n {mesh.namespace} get authorizationpolicies -o yaml`: the action, and the paths"
    for place in (path, f"{path}/users"):
        with expect(f"GET {place} of {reader} is denied", look=look):
            assert_denied(mesh.client(reader).send(f"http://shop{place}", COUNT))


def _readers(mesh: Mesh, given: Given) -> None:
    reader = str(given["reader"])
    look = f"`kubectl -n {mesh.namespace} get authorizationpolicies -o yaml`: action, selector, from, to"
    with expect(f"GET of {reader} is allowed", look=look):
        assert_allowed(mesh.client(reader).send(URL, COUNT))
    with expect(f"POST of {reader} is denied", look=look):
        assert_denied(mesh.client(reader).send(URL, COUNT, method="POST", body="x"))
    for other in CLIENTS:
        if other != reader:
            with expect(f"GET of {other} is denied", look=look):
                assert_denied(mesh.client(other).send(URL, COUNT))
