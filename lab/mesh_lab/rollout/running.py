"""A rollout on a cluster: the weights of each step are written, it is observed, and its verdict is carried out."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from mesh_lab.errors import LabError
from mesh_lab.load.claim import Claim
from mesh_lab.rollout import record
from mesh_lab.rollout.judging import NOTHING, Judge, Ratios, Verdict, judge_of
from mesh_lab.rollout.observing import MOST_BATCH, Send, Step, observe
from mesh_lab.rollout.plan import START, Phase, State, after, weight_at
from mesh_lab.rollout.settings import Rollout
from mesh_lab.rollout.traffic import READY_SECONDS, batch_seconds
from mesh_lab.rollout.writing import LIVE_SECONDS, WRITES, Route, RouteTaken

Report = Callable[[str], None]


@dataclass(slots=True)
class Outcome:
    """How a rollout ended, and its steps. `trouble` is why the last weights are not in force; empty where they are."""

    state: State
    steps: list[Step]
    resumed_at: int | None = None
    trouble: str = ""

    @property
    def promoted(self) -> bool:
        """Whether the canary has all requests now."""
        return self.state.phase is Phase.PROMOTED and not self.trouble


def run(route: Route, rollout: Rollout, sending: AbstractContextManager[Send], claim: Claim, report: Report) -> Outcome:
    """Carry the rollout out, from its beginning or from where it was interrupted.

    `sending` is entered once the route is claimed. Where the canary has all requests already, nothing is done. What
    keeps a step from being judged is a reason to take the canary back, as a bad verdict is. Whatever ends this process
    but a kill, the next one may go on.

    Raises:
        LabError: the route cannot carry it, another one is under way, or the stable version cannot be judged.
        RouteTaken: somebody else has changed the route meanwhile; it stays as it is.
    """
    route.spec_at(0)
    if _begun_before(route, rollout, claim) is None and route.has(100):
        report(f"{rollout.arms[1].name} has all requests of {rollout.route} already: there is nothing to do")
        return Outcome(State(Phase.PROMOTED, len(rollout.weights)), [])
    route.check()
    try:
        resumed = _claim(route, rollout, claim)
        outcome = Outcome(START if resumed is None else State(Phase.RUNNING, resumed), [], resumed)
        with sending as send:
            _carry_out(route, rollout, send, claim, outcome, report)
        return outcome
    finally:
        with contextlib.suppress(LabError):  # it must not hide why this process ends
            route.release(claim)


def abort(route: Route, claim: Claim) -> None:
    """Give all requests to the stable version, and forget what was under way.

    Raises:
        RolloutUnderWay: a process is at work on it.
        LabError: the weights cannot be written, or are not in force.
    """
    record.unfinished(route.found, claim)
    route.write(0.0, None)


def longest(rollout: Rollout) -> float:
    """After how many seconds a rollout is over at the latest, whatever comes: its claim ends with it."""
    each = rollout.requests.deadline + batch_seconds(rollout, MOST_BATCH) + LIVE_SECONDS
    return READY_SECONDS + (len(rollout.weights) + 1) * each + LIVE_SECONDS


def _begun_before(route: Route, rollout: Rollout, claim: Claim) -> int | None:
    """The step to go on at; None for a rollout that begins.

    Raises:
        LabError: another one is under way, or the weights are not those of the step.
    """
    step = record.resumed(route.found, rollout.digest, claim)
    weight = weight_at(State(Phase.RUNNING, step), rollout.weights) if step else 0.0
    if step and not route.has(weight):
        canary = rollout.arms[1].name
        raise RouteTaken(
            f"{route.reference}: the rollout was interrupted at step {step}, and {canary} has not got its {weight:g}% "
            "any more: somebody has changed the weights since",
            hint="--abort gives all requests to the stable version; then it may begin again.",
        )
    return step


def _claim(route: Route, rollout: Rollout, claim: Claim) -> int | None:
    """Claim the route, for the step to go on at; None for one that begins.

    Raises:
        LabError: another one is under way, or the route changes all the time.
    """
    for _ in range(WRITES):
        step = _begun_before(route, rollout, claim)
        if route.claim(record.Record(rollout.digest, step or 0, rollout.arms[1].name, claim)):
            return step
    raise RouteTaken(f"{route.reference} changes all the time: the rollout could not be claimed")


def _carry_out(route: Route, rollout: Rollout, send: Send, claim: Claim, outcome: Outcome, report: Report) -> None:
    judge, began, steps = judge_of(rollout), time.monotonic(), len(rollout.weights)
    compared: Ratios = NOTHING
    while outcome.state.phase is Phase.RUNNING:
        kept = record.Record(rollout.digest, outcome.state.step, rollout.arms[1].name, claim)
        seen = _step(route, rollout, judge, kept, send, began, compared)
        compared = seen.compared
        outcome.steps.append(seen)
        report(_line(seen, outcome.state.step, steps))
        outcome.state = after(outcome.state, seen.verdict, steps)
    try:
        route.write(weight_at(outcome.state, rollout.weights), None)
    except RouteTaken:
        raise
    except LabError as error:
        outcome.trouble = error.message


def _step(
    route: Route, rollout: Rollout, judge: Judge, kept: record.Record, send: Send, began: float, compared: Ratios
) -> Step:
    """Write a step's weights and observe it.

    Raises:
        LabError: before the first step, the weights are not in force, or nothing can be sent.
        RouteTaken: somebody else has changed the route.
    """
    weight = weight_at(State(Phase.RUNNING, kept.step), rollout.weights)
    try:
        route.write(weight, kept)
        return observe(rollout, judge, weight, send, began, compared)
    except RouteTaken:
        raise
    except LabError as error:
        if not kept.step:
            raise
        return Step(weight, Verdict.BAD, why=f"it cannot be judged: {error.message}")


def _line(step: Step, number: int, steps: int) -> str:
    where = f"step {number} of {steps}" if number else "before the first step"
    bad = ", ".join(f"{count} bad by {name}" for name, count in step.bad.items() if count) or "none bad"
    line = (
        f"{where}: {step.weight:g}% canary: {step.verdict.value} after {step.trials} of its requests "
        f"({bad}), {step.requests} in all, {step.seconds:.1f} s"
    )
    return f"{line}; {step.why}" if step.why else line
