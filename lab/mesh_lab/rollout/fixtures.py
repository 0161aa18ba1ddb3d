"""The pytest fixture `mesh_rollout`. Every pytest of the environment loads it, so it imports next to nothing."""

from __future__ import annotations

import re
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from mesh_lab.harness.mesh import Mesh
    from mesh_lab.rollout.running import Outcome
    from mesh_lab.rollout.testing import RunRollout, Wanted


@pytest.fixture
def mesh_rollout(request: pytest.FixtureRequest) -> RunRollout:
    """Runs a rollout as `mesh-lab rollout` does, of a file or of its fields: `assert_promoted(mesh_rollout({...}))`.

    It is in the test's namespace; its verdict and plots are in a folder of `reports/rollout`.
    """
    from mesh_lab.rollout.testing import run_reported

    name = "mesh_shared" if "mesh_shared" in request.fixturenames else "mesh"
    mesh: Mesh = request.getfixturevalue(name)
    reports = Path(request.config.getoption("--mesh-reports")) / "rollout"
    test = re.sub(r"[^\w.-]+", "-", request.node.nodeid).strip("-")[-150:]
    numbers = count(1)

    def run(wanted: Wanted) -> Outcome:
        return run_reported(mesh, wanted, reports / f"{test}-{next(numbers)}")

    return run
