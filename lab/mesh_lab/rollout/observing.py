"""One step of a rollout: requests are sent and told apart, until the version under judgement is known."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mesh_lab.harness.results import Result, Results
from mesh_lab.harness.sequential import Rates, SplitTest
from mesh_lab.harness.sequential import Verdict as SplitVerdict
from mesh_lab.harness.telling import MAX_SHOWN, table
from mesh_lab.rollout.judging import NOTHING, Judge, Ratios, Verdict, failed
from mesh_lab.rollout.settings import Arm, Rollout

BATCH_OF_CANARY, LEAST_BATCH, MOST_BATCH = 50, 50, 1_000
"""A batch is looked at as a whole: about so many of its requests are to be the canary's."""
SHARE_RATES = Rates(false_alarm=1e-6, missed=1e-3, deviation=0.1)
Send = Callable[[int], Results]


@dataclass(frozen=True, slots=True)
class Look:
    """One batch as it was looked at.

    When (seconds since the rollout began), what of each version was bad, how slow the one under judgement was, and the
    largest logarithm of a ratio of likelihoods, of all batches of the step until then.
    """

    at: float
    trials: int
    bad: int
    others: int
    others_bad: int
    p50_ms: float
    p99_ms: float
    log_ratio: float


@dataclass(slots=True)
class Step:
    """What was seen at one step: the canary's weight, and the requests of each version, with those that were bad.

    `own` and `compared` are the logarithms of the tests' ratios, as they were at its end.
    """

    weight: float
    verdict: Verdict = Verdict.OPEN
    requests: int = 0
    trials: int = 0
    stable: int = 0
    bad: Counter[str] = field(default_factory=Counter)
    stable_bad: Counter[str] = field(default_factory=Counter)
    said: Counter[str] = field(default_factory=Counter)
    own: Ratios = field(default_factory=dict)
    compared: Ratios = field(default_factory=dict)
    seconds: float = 0.0
    why: str = ""
    shown: list[Result] = field(default_factory=list)
    durations_ms: list[float] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)


def observe(rollout: Rollout, judge: Judge, weight: float, send: Send, began: float, before: Ratios = NOTHING) -> Step:
    """Send requests until the version under judgement is known to be good or bad, or all that may be sent are.

    At the weight 0 it is the stable version; else the canary. A request that failed without saying its version counts
    against it: a version that is broken often cannot say. `before` has the comparison of the earlier steps, `began`
    when the rollout began (`time.monotonic`).

    Raises:
        LabError: the requests cannot be sent.
    """
    stable, canary = rollout.arms
    under, other = (canary, stable) if weight else (stable, canary)
    step, begun, named_bad = Step(weight), time.monotonic(), Counter[str]()
    split = SplitTest({says(stable): 100 - weight, says(canary): weight}, SHARE_RATES)
    asked = rollout.requests
    while step.verdict is Verdict.OPEN and step.trials < asked.most and time.monotonic() < begun + asked.deadline:
        results = send(_batch(weight))
        mine, others = _told_apart(results, under, other)
        _add(step, judge, results, mine, others)
        named_bad.update(judge.count([result for result in mine if result.version]))
        step.own = judge.ratios(step.trials, step.bad)
        step.compared = judge.compared(weight, named_bad, step.stable_bad, before)
        step.looks.append(_look(time.monotonic() - began, judge, mine, others, step))
        step.verdict, step.why = _verdict(judge, step, split)
    step.seconds = time.monotonic() - begun
    if step.verdict is Verdict.OPEN:
        step.why = f"neither good nor bad after {step.trials} of its requests in {step.seconds:.0f} s"
    return step


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value that this share of an ordered list does not exceed; 0 of an empty one."""
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else 0.0


def says(arm: Arm) -> str:
    """The version that answers of this arm say."""
    return arm.version or arm.name


def _batch(weight: float) -> int:
    wanted = BATCH_OF_CANARY * 100 / (weight or 100)
    return int(min(max(wanted, LEAST_BATCH), MOST_BATCH))


def _told_apart(results: Results, under: Arm, other: Arm) -> tuple[list[Result], list[Result]]:
    """Those of the version under judgement, with those that failed without a version, and those of the other one."""
    mine = [result for result in results if result.version == says(under) or (not result.version and failed(result))]
    return mine, [result for result in results if result.version == says(other)]


def _add(step: Step, judge: Judge, results: Results, mine: list[Result], others: list[Result]) -> None:
    step.requests += len(results)
    step.trials += len(mine)
    step.stable += len(others)
    step.bad.update(judge.count(mine))
    step.stable_bad.update(judge.count(others))
    step.said.update(result.version for result in results if result.version)
    step.durations_ms += [result.duration_ms for result in mine]
    step.shown += judge.bad_of(mine)[: MAX_SHOWN - len(step.shown)]


def _look(at: float, judge: Judge, mine: list[Result], others: list[Result], step: Step) -> Look:
    ordered = sorted(result.duration_ms for result in mine)
    return Look(
        at,
        len(mine),
        len(judge.bad_of(mine)),
        len(others),
        len(judge.bad_of(others)),
        quantile(ordered, 0.5),
        quantile(ordered, 0.99),
        max((*step.own.values(), *step.compared.values())),
    )


def _verdict(judge: Judge, step: Step, split: SplitTest) -> tuple[Verdict, str]:
    """The verdict, and why where it is not by a criterion alone: the weight has to be in force as well."""
    verdict = judge.look(step.own, step.compared)
    if verdict is Verdict.BAD:
        return verdict, _compared_badly(judge, step)
    if not step.said:
        return Verdict.BAD, "no answer says its version: see `version` in docs/rollout.md"
    seen = split.look(step.said)
    if seen is SplitVerdict.DEVIATES:
        return Verdict.BAD, _not_in_force(step, split)
    return (Verdict.OPEN if seen is SplitVerdict.UNDECIDED else verdict), ""


def _compared_badly(judge: Judge, step: Step) -> str:
    """Which comparisons it has failed; empty for one that is bad by itself."""
    if judge.comparison is None or judge.look(step.own) is Verdict.BAD:
        return ""
    worse = ", ".join(name for name, ratio in step.compared.items() if ratio >= judge.bad_above)
    return f"bad by {worse} more than {judge.comparison.times:g} times as often as the stable version"


def _not_in_force(step: Step, split: SplitTest) -> str:
    strangers = ", ".join(split.strangers)
    more = f"; no answer may be of {strangers} at this weight" if strangers else ""
    return (
        f"the canary's weight of {step.weight:g}% is not in force for these requests, or versions are told wrongly: "
        f"{table(step.said)}{more}"
    )
