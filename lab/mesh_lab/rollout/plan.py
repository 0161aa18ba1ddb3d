"""The steps of a rollout as a pure machine: what a verdict at a step leads to, and what is left to do."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from mesh_lab.rollout.judging import Verdict


class Phase(StrEnum):
    """Where a rollout is."""

    RUNNING = "running"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled back"


class State(NamedTuple):
    """A phase; while it runs, the step (0: before the first, when the stable version gets all)."""

    phase: Phase
    step: int


START = State(Phase.RUNNING, 0)


def weight_at(state: State, weights: tuple[float, ...]) -> float:
    """The canary's weight in percent."""
    if state.phase is Phase.RUNNING:
        return (0.0, *weights)[state.step]
    return 100.0 if state.phase is Phase.PROMOTED else 0.0


def after(state: State, verdict: Verdict, steps: int) -> State:
    """The state that a verdict leads to. What stays open is no reason to go on: the stable version gets all again.

    Raises:
        ValueError: the rollout is over, or there is no such step.
    """
    if state.phase is not Phase.RUNNING or not 0 <= state.step <= steps:
        raise ValueError(f"no verdict is awaited at {state}")
    if verdict is not Verdict.GOOD:
        return State(Phase.ROLLED_BACK, state.step)
    return State(Phase.PROMOTED, steps) if state.step == steps else State(Phase.RUNNING, state.step + 1)
