"""A rollout on a cluster: writes the weights, sends the requests, and does what the verdict of each step leads to."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from mesh_lab.client.api import Api
from mesh_lab.client.connection import ApiError
from mesh_lab.client.controlplane import status_of
from mesh_lab.client.objects import Object, Reference
from mesh_lab.client.rollout import await_live
from mesh_lab.errors import LabError
from mesh_lab.harness.results import Result, Results
from mesh_lab.harness.sequential import Rates, SplitTest
from mesh_lab.harness.sequential import Verdict as SplitVerdict
from mesh_lab.harness.telling import MAX_SHOWN
from mesh_lab.load.claim import Claim
from mesh_lab.meshkinds import named
from mesh_lab.rollout import record, routes
from mesh_lab.rollout.judging import Judge, Verdict, judge_of
from mesh_lab.rollout.plan import START, Phase, State, after, weight_at
from mesh_lab.rollout.settings import Arm, BadRollout, Rollout

LIVE_SECONDS, START_SECONDS, WRITES = 20.0, 120.0, 5
BATCH_OF_CANARY, LEAST_BATCH, MOST_BATCH = 50, 50, 1_000
"""A batch is looked at as a whole: about so many of its requests are to be the canary's."""
SHARE_RATES = Rates(false_alarm=1e-6, missed=1e-3, deviation=0.05)
Report = Callable[[str], None]
Send = Callable[[int], Results]


@dataclass(frozen=True, slots=True)
class Look:
    """One batch as it was looked at: when (seconds since the rollout began), what of each version was bad, how slow."""

    at: float
    trials: int
    bad: int
    others: int
    others_bad: int
    p50_ms: float
    p99_ms: float


@dataclass(slots=True)
class Step:
    """What was seen at one step: the canary's weight, and the requests of each version, with those that were bad."""

    weight: float
    verdict: Verdict = Verdict.OPEN
    requests: int = 0
    trials: int = 0
    stable: int = 0
    bad: Counter[str] = field(default_factory=Counter)
    stable_bad: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    why: str = ""
    shown: list[Result] = field(default_factory=list)
    durations_ms: list[float] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)


@dataclass(slots=True)
class Outcome:
    """How a rollout ended, and its steps."""

    state: State
    steps: list[Step]
    resumed_at: int | None = None

    @property
    def promoted(self) -> bool:
        """Whether the canary has all requests now."""
        return self.state.phase is Phase.PROMOTED


class Route:
    """The route under a rollout. What somebody else changes of it meanwhile ends the rollout and stays.

    Raises:
        LabError: there is no such kind or route.
    """

    def __init__(self, api: Api, rollout: Rollout) -> None:
        word, name = rollout.kind_and_name
        kind = named(word)
        if kind is None or kind.name not in routes.FORMS:
            known = ", ".join(each.lower() for each in routes.FORMS)
            raise BadRollout(f"route: {word!r} is no kind of route with weights; there are {known}")
        self._api = api
        self._rollout = rollout
        self._version = api.served(kind.group, kind.name, kind.versions)
        self.reference = Reference(self._version, kind.name, name, rollout.namespace)
        self.found = self._read()
        self._owners = routes.unweighted(self.found)

    def spec_at(self, weight: float) -> Object:
        """The spec with this weight (percent) for the canary.

        Raises:
            NoSuchArm: it has no place for it.
        """
        stable, canary = self._rollout.arms
        return routes.weighted(self.found, stable.name, canary.name, weight)

    def write(self, weight: float, kept: record.Record | None) -> None:
        """Write weight and record, and wait until every proxy has acknowledged them.

        Raises:
            LabError: somebody else has changed the route, or a proxy has not acknowledged it in time.
        """
        for _ in range(WRITES):
            meta = {"resourceVersion": self.found["metadata"]["resourceVersion"], "annotations": record.annotated(kept)}
            try:
                self.found = self._api.patch(self.reference, {"metadata": meta, "spec": self.spec_at(weight)})
            except ApiError as error:
                if error.reason != "Conflict":
                    raise
                self._look_again()
            else:
                version, end = self.found["metadata"]["resourceVersion"], time.monotonic() + LIVE_SECONDS
                await_live(status_of(self._api, findings=False), self.reference, version, end)
                return
        raise LabError(f"{self.reference} changes all the time: the weights could not be written")

    def release(self, mine: Claim) -> None:
        """Leave the rollout to the next process, which goes on at its step; one that has not begun is forgotten.

        One that another process is at work on stays that one's.
        """
        found = record.read(self._read())
        if found is not None and found.claim == mine:
            kept = record.Record(found.digest, found.step, found.canary) if found.step else None
            self._api.patch(self.reference, {"metadata": {"annotations": record.annotated(kept)}})

    def _look_again(self) -> None:
        """Take the object's new version, if nothing but its status has changed."""
        before, self.found = self.found, self._read()
        if routes.unweighted(self.found) != self._owners or self.found["spec"] != before["spec"]:
            raise LabError(
                f"{self.reference} was changed by somebody else during the rollout; it stays as it is now",
                hint="`kubectl get -o yaml` shows it. Run the rollout again when it is as it should be.",
            )

    def _read(self) -> Object:
        found = self._api.find(self.reference)
        if found is None:
            raise LabError(f"there is no {self.reference}")
        return found


def run(route: Route, rollout: Rollout, send: Send, claim: Claim, report: Report) -> Outcome:
    """Carry the rollout out, from its beginning or from where it was interrupted.

    Raises:
        LabError: the route cannot carry it, another one is under way, or the route was changed meanwhile.
    """
    resumed = record.resumed(route.found, rollout.digest, claim)
    outcome = Outcome(START if resumed is None else State(Phase.RUNNING, resumed), [], resumed)
    judge, canary, began = judge_of(rollout), rollout.arms[1].name, time.monotonic()
    while outcome.state.phase is Phase.RUNNING:
        step = outcome.state.step
        weight = weight_at(outcome.state, rollout.weights)
        route.write(weight, record.Record(rollout.digest, step, canary, claim))
        seen = observe(rollout, judge, weight, send, began)
        outcome.steps.append(seen)
        report(_line(seen, step, len(rollout.weights)))
        outcome.state = after(outcome.state, seen.verdict, len(rollout.weights))
    route.write(weight_at(outcome.state, rollout.weights), None)
    return outcome


def longest(rollout: Rollout) -> float:
    """After how many seconds a rollout is over at the latest, whatever comes: its claim ends with it."""
    asked = rollout.requests
    each = asked.most / asked.rate + asked.timeout + LIVE_SECONDS
    return START_SECONDS + (len(rollout.weights) + 2) * each * 2


def abort(route: Route, claim: Claim) -> None:
    """Give all requests to the stable version, and forget what was under way.

    Raises:
        RolloutUnderWay: a process is at work on it.
    """
    found = record.read(route.found)
    if found is not None and found.claim is not None and found.claim != claim and not found.claim.over():
        raise record.RolloutUnderWay(f"a rollout to {found.canary} is under way at step {found.step} ({found.claim})")
    route.write(0.0, None)


def observe(rollout: Rollout, judge: Judge, weight: float, send: Send, since: float) -> Step:
    """Send requests until the version under judgement is known to be good or bad, or all that may be sent are.

    At the weight 0 it is the stable version; else the canary. A request that failed without saying its version counts
    against it: a version that is broken often cannot say.
    """
    stable, canary = rollout.arms
    step, begun = Step(weight), time.monotonic()
    shares, counts = SplitTest(_shares(stable, canary, weight), SHARE_RATES), Counter[str]()
    while step.requests < rollout.requests.most and step.verdict is Verdict.OPEN:
        results = send(min(_batch(weight), rollout.requests.most - step.requests))
        step.requests += len(results)
        under, others = _told_apart(results, canary if weight else stable, stable if weight else canary)
        step.trials += len(under)
        step.stable += len(others)
        bad = judge.count(under)
        step.bad.update(bad)
        step.stable_bad.update(judge.count(others))
        step.durations_ms += [result.duration_ms for result in under]
        step.looks.append(_look(time.monotonic() - since, judge, under, others))
        step.shown += judge.bad_of(under)[: MAX_SHOWN - len(step.shown)]
        counts.update(result.version for result in results if result.version)
        step.verdict = judge.look(step.trials, step.bad)
        if step.verdict is not Verdict.BAD and shares.look(counts) is SplitVerdict.DEVIATES:
            step.verdict, step.why = Verdict.BAD, _not_in_force(shares, counts, step)
    step.seconds = time.monotonic() - begun
    return step


def _look(at: float, judge: Judge, under: list[Result], others: list[Result]) -> Look:
    durations = sorted(result.duration_ms for result in under)
    return Look(
        at,
        len(under),
        len(judge.bad_of(under)),
        len(others),
        len(judge.bad_of(others)),
        quantile(durations, 0.5),
        quantile(durations, 0.99),
    )


def quantile(ordered: list[float], share: float) -> float:
    """The value that this share of an ordered list does not exceed; 0 of an empty one."""
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else 0.0


def _shares(stable: Arm, canary: Arm, weight: float) -> dict[str, float]:
    return {_says(stable): 100 - weight, _says(canary): weight}


def _says(arm: Arm) -> str:
    return arm.version or arm.name


def _batch(weight: float) -> int:
    wanted = BATCH_OF_CANARY * 100 / (weight or 100)
    return int(min(max(wanted, LEAST_BATCH), MOST_BATCH))


def _told_apart(results: Results, under: Arm, other: Arm) -> tuple[list[Result], list[Result]]:
    """Those of the version under judgement, with those that failed without a version, and those of the other one."""
    others = [result for result in results if result.version == _says(other)]
    mine = [r for r in results if r.version == _says(under) or (not r.version and (not r.status or r.status >= 500))]
    return mine, others


def _not_in_force(shares: SplitTest, counts: Counter[str], step: Step) -> str:
    seen = ", ".join(f"{count} × {name}" for name, count in counts.most_common())
    if not counts:
        return "no answer says its version: see `version`"
    strangers = f"; of no version of this rollout: {', '.join(shares.strangers)}" if shares.strangers else ""
    return f"the canary's weight of {step.weight:g}% is not in force, or versions are told wrongly: {seen}{strangers}"


def _line(step: Step, number: int, steps: int) -> str:
    where = f"step {number} of {steps}" if number else "before the first step"
    bad = ", ".join(f"{count} bad by {name}" for name, count in step.bad.items() if count) or "none bad"
    line = (
        f"{where}: {step.weight:g}% canary: {step.verdict.value} after {step.trials} of its requests "
        f"({bad}), {step.requests} in all, {step.seconds:.1f} s"
    )
    return f"{line}; {step.why}" if step.why else line
