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
from mesh_lab.rollout.page import page
from mesh_lab.rollout.running import Outcome, Step, quantile
from mesh_lab.rollout.settings import Rollout

SCHEMA = 1


def document(rollout: Rollout, outcome: Outcome) -> dict[str, Any]:
    """The whole outcome as JSON has it. Durations are in seconds, latencies in milliseconds, weights in percent."""
    return {
        "schema": SCHEMA,
        "verdict": outcome.state.phase.value,
        "step": outcome.state.step,
        "resumed_at": outcome.resumed_at,
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
    last = outcome.steps[-1]
    if outcome.promoted:
        yield f"promoted: {canary.name} has all requests of {rollout.route}"
        return
    where = f"at step {outcome.state.step}, {last.weight:g}%" if outcome.state.step else "before the first step"
    yield f"rolled back {where}: {stable.name} has all requests of {rollout.route}"
    judged = canary.name if last.weight else stable.name
    bad = ", ".join(f"{count} bad by {name}" for name, count in last.bad.items() if count) or "none bad"
    others = f"{last.stable}, {sum(last.stable_bad.values())} bad"
    yield f"  {judged}: {last.trials} requests, {bad}; the other version: {others}"
    if last.why:
        yield f"  {last.why}"
    elif last.verdict.value == "open":
        yield f"  neither good nor bad after {last.requests} requests: it is near its limits"
    yield from (f"  {line(result)}" for result in last.shown)
