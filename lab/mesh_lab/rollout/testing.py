"""Rollouts in tests: one is run as `mesh-lab rollout` does it, and its outcome asserted."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from mesh_lab.harness.mesh import Mesh
from mesh_lab.harness.telling import first_of
from mesh_lab.harness.traffic import TrafficClient
from mesh_lab.load.claim import Claim
from mesh_lab.rollout import report
from mesh_lab.rollout.observing import Send
from mesh_lab.rollout.plan import Phase
from mesh_lab.rollout.running import Outcome, longest, run
from mesh_lab.rollout.settings import Rollout, check, read
from mesh_lab.rollout.traffic import sender, sending
from mesh_lab.rollout.writing import Route

Wanted = Path | Mapping[str, Any]
"""The file of a rollout, or its fields."""
RunRollout = Callable[[Wanted], Outcome]
"""What the fixture `mesh_rollout` is."""


def run_rollout(mesh: Mesh, client: TrafficClient, rollout: Mapping[str, Any]) -> Outcome:
    """Run a rollout in the mesh's namespace, its requests sent by a client; the fields are those of its file.

    Raises:
        LabError: the route cannot carry it, or was changed meanwhile.
        msgspec.ValidationError: a field is unknown, of another type, or out of its range.
    """
    wanted = rollout_of(rollout, mesh.namespace)
    return _run(mesh, wanted, contextlib.nullcontext(sender(client, wanted)))


def run_reported(mesh: Mesh, wanted: Wanted, folder: Path) -> Outcome:
    """Run a rollout in the mesh's namespace from a client of its own, and write its report to a folder.

    Raises:
        LabError: the file cannot be read, the route cannot carry it, or was changed meanwhile.
        msgspec.ValidationError: a field is unknown, of another type, or out of its range.
    """
    rollout = rollout_of(wanted, mesh.namespace)
    outcome = _run(mesh, rollout, sending(mesh, rollout))
    report.write(folder, report.document(rollout, outcome))
    return outcome


def rollout_of(wanted: Wanted, namespace: str) -> Rollout:
    """The rollout in a file, or of fields, in a namespace: whatever a file says of that.

    Raises:
        BadRollout: of a file.
        msgspec.ValidationError: of fields; one is unknown, of another type, or out of its range.
    """
    if isinstance(wanted, Path):
        return msgspec.structs.replace(read(wanted), namespace=namespace)
    rollout = msgspec.convert({"namespace": namespace, **wanted}, Rollout)
    check(rollout)
    return rollout


def _run(mesh: Mesh, rollout: Rollout, sending: contextlib.AbstractContextManager[Send]) -> Outcome:
    return run(Route(mesh.api, rollout), rollout, sending, Claim.here(longest(rollout)), lambda _: None)


def assert_promoted(outcome: Outcome) -> None:
    """The new version was good at every step, and has all requests.

    Raises:
        AssertionError: with the step at which it was not.
    """
    __tracebackhide__ = True
    if not outcome.promoted:
        raise AssertionError(f"the canary was {_ended(outcome)}")


def assert_rolled_back(outcome: Outcome, *, at_step: int | None = None) -> None:
    """The new version was not good, and the stable one has all requests again.

    Raises:
        AssertionError: it was promoted, or rolled back at another step.
    """
    __tracebackhide__ = True
    rolled_back = outcome.state.phase is Phase.ROLLED_BACK and not outcome.trouble
    if not rolled_back or at_step not in (None, outcome.state.step):
        raise AssertionError(f"the canary was {_ended(outcome)}")


def _ended(outcome: Outcome) -> str:
    told = f"{outcome.state.phase} at step {outcome.state.step}"
    if outcome.trouble:
        told += f", which is not in force: {outcome.trouble}"
    if not outcome.steps:
        return f"{told}: it had all requests already"
    last = outcome.steps[-1]
    seen = f"{last.trials} of its requests, bad: {dict(last.bad)}"
    return f"{told} ({last.weight:g}%): {'; '.join(filter(None, (last.why, seen)))}\n{first_of(last.shown)}"
