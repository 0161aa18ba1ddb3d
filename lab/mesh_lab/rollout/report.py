"""What a rollout leaves: a verdict as JSON, and lines for a terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from mesh_lab.harness.telling import line
from mesh_lab.load import provenance
from mesh_lab.load.page import missing
from mesh_lab.rollout.judging import judge_of
from mesh_lab.rollout.observing import Step, quantile
from mesh_lab.rollout.page import page
from mesh_lab.rollout.plan import Phase
from mesh_lab.rollout.running import Outcome
from mesh_lab.rollout.settings import Rollout

SCHEMA = 1


def document(rollout: Rollout, outcome: Outcome) -> dict[str, Any]:
    """The whole outcome as JSON has it.

    Durations are in seconds, latencies in milliseconds, weights in percent; ratios of likelihoods by their logarithms.
    """
    judge = judge_of(rollout)
    return {
        "schema": SCHEMA,
        "verdict": outcome.state.phase.value,
        "step": outcome.state.step,
        "resumed_at": outcome.resumed_at,
        "trouble": outcome.trouble,
        "bounds": {"bad_above": judge.bad_above, "good_below": judge.good_below},
        "steps": [_step(step) for step in outcome.steps],
        "rollout": msgspec.to_builtins(rollout),
        "made": provenance.made(),
    }


def _step(step: Step) -> dict[str, Any]:
    return {
        "weight": step.weight,
        "verdict": step.verdict.value,
        "why": step.why,
        "requests": step.requests,
        "seconds": round(step.seconds, 3),
        "judged": {"requests": step.trials, "bad": dict(step.bad), **_latencies(step)},
        "log_ratios": {"own": dict(step.own), "compared": dict(step.compared)},
        "other": {"requests": step.stable, "bad": dict(step.stable_bad)},
        "looks": [asdict(look) for look in step.looks],
        "shown": [line(result) for result in step.shown],
    }


def _latencies(step: Step) -> dict[str, float]:
    ordered = sorted(step.durations_ms)
    return {"p50_ms": quantile(ordered, 0.5), "p99_ms": quantile(ordered, 0.99)}


def write(folder: Path, found: dict[str, Any]) -> Path:
    """Write JSON and page into a folder; without plotly and jinja2 there is no page. The more telling one of both.

    Raises:
        OSError: that is not possible.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "rollout.json"
    path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    if missing():
        return path
    (folder / "report.html").write_text(page(found), encoding="utf-8")
    return folder / "report.html"


def lines(rollout: Rollout, outcome: Outcome) -> Iterator[str]:
    """The outcome for a terminal."""
    stable, canary = rollout.arms
    if outcome.state.phase is Phase.PROMOTED:
        yield _ended(rollout, outcome, "promoted", canary.name)
        return
    last = outcome.steps[-1]
    where = f"at step {outcome.state.step}, {last.weight:g}%" if outcome.state.step else "before the first step"
    yield _ended(rollout, outcome, f"rolled back {where}", stable.name)
    judged = canary.name if last.weight else stable.name
    bad = ", ".join(f"{count} bad by {name}" for name, count in last.bad.items() if count) or "none bad"
    others = f"{last.stable}, {sum(last.stable_bad.values())} bad"
    yield f"  {judged}: {last.trials} requests, {bad}; the other version: {others}"
    yield from _evidence(rollout, last)
    if last.why:
        yield f"  {last.why}"
    yield from (f"  {line(result)}" for result in last.shown)


def _ended(rollout: Rollout, outcome: Outcome, how: str, winner: str) -> str:
    if outcome.trouble:
        return f"{how}, but it is not in force that {winner} has all requests of {rollout.route}: {outcome.trouble}"
    return f"{how}: {winner} has all requests of {rollout.route}"


def _evidence(rollout: Rollout, step: Step) -> Iterator[str]:
    """What the tests have against the version."""
    bound = judge_of(rollout).bad_above
    for what, ratios in (("worse than allowed", step.own), ("worse than the other version", step.compared)):
        for name, ratio in ratios.items():
            if ratio >= bound:
                yield f"  {name}: {what}, by a log likelihood ratio of {ratio:.1f}; {bound:.1f} is enough"
