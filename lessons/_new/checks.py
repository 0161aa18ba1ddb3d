"""Checks look at what the mesh does. `docs/lessons.md` tells how they are written."""

from __future__ import annotations

from mesh_lab.learn.checking import Given, expect
from mesh_lab.testing import Mesh, assert_all


def task_1(mesh: Mesh, given: Given) -> None:
    """Every request is answered by the version that the variant wants."""
    wanted = str(given["wanted"])
    look = f"`kubectl -n {mesh.namespace} get virtualservices -o yaml`"
    with expect(f"every request is answered by {wanted}", look=look):
        assert_all(mesh.client().send("http://shop/", 100, concurrency=5), version=wanted)
