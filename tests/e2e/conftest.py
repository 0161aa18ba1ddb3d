"""What the modules of the end-to-end suite share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.harness.api import Api
from lab.harness.mesh import Mesh
from lab.harness.namespaces import Namespaces

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def outside(kube: Api, namespaces: Namespaces, request: pytest.FixtureRequest) -> Iterator[Mesh]:
    """A namespace without sidecars beside the module's own."""
    name = namespaces.create(f"{request.node.path.stem}-outside", injection=False)
    yield Mesh(kube, name)
    namespaces.remove(name)
