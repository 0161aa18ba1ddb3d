"""`python -m pytest -p tests.nothingapplied tests/e2e/behaviour`: what passes where no configuration is in force.

A control: a test that passes here shows nothing of the resource that its case names. What a test deploys is there, and
the proxies record; only what it holds in force during a `with` block (`mesh.applied`) is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mesh_lab.client.objects import Reference, objects_in
from mesh_lab.harness.mesh import Manifest, Mesh

_RECORDING = "EnvoyFilter"
_really_applied = Mesh.applied


@contextmanager
def _applied(mesh: Mesh, manifest: Manifest) -> Iterator[list[Reference]]:
    if any(obj["kind"] != _RECORDING for obj in objects_in(manifest)):
        yield []
        return
    with _really_applied(mesh, manifest) as references:
        yield references


Mesh.applied = _applied  # type: ignore[method-assign,assignment]
