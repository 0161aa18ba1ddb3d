"""Rollouts in tests: one is run as `mesh-lab rollout` does it, and its outcome asserted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from mesh_lab.harness.mesh import Mesh
from mesh_lab.harness.telling import first_of
from mesh_lab.harness.traffic import TrafficClient
from mesh_lab.load.claim import Claim
from mesh_lab.rollout.plan import Phase
from mesh_lab.rollout.running import Outcome, Route, longest, run
from mesh_lab.rollout.settings import Rollout, check
from mesh_lab.rollout.traffic import sender


def run_rollout(mesh: Mesh, client: TrafficClient, rollout: Mapping[str, Any]) -> Outcome:
    """Run a rollout in the mesh's namespace, its requests sent by a client; the fields are those of its file.

    Raises:
        LabError: the route cannot carry it, or was changed meanwhile.
        msgspec.ValidationError: a field is unknown, of another type, or out of its range.
    """
    wanted = msgspec.convert({"namespace": mesh.namespace, **rollout}, Rollout)
    check(wanted)
    return run(Route(mesh.api, wanted), wanted, sender(client, wanted), Claim.here(longest(wanted)), lambda _: None)


def assert_promoted(outcome: Outcome) -> None:
    """The new version was good at every step, and has all requests.

    Raises:
        AssertionError: with the step at which it was not.
    """
    __tracebackhide__ = True
    if outcome.state.phase is not Phase.PROMOTED:
        raise AssertionError(f"the canary was {_ended(outcome)}")


def assert_rolled_back(outcome: Outcome, *, at_step: int | None = None) -> None:
    """The new version was not good, and the stable one has all requests again.

    Raises:
        AssertionError: it was promoted, or rolled back at another step.
    """
    __tracebackhide__ = True
    if outcome.state.phase is not Phase.ROLLED_BACK or at_step not in (None, outcome.state.step):
        raise AssertionError(f"the canary was {_ended(outcome)}")


def _ended(outcome: Outcome) -> str:
    last = outcome.steps[-1]
    why = last.why or f"{last.trials} of its requests, bad: {dict(last.bad)}"
    return f"{outcome.state.phase} at step {outcome.state.step} ({last.weight:g}%): {why}\n{first_of(last.shown)}"
