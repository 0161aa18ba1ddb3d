"""Probes: when a container counts as started, ready, or in need of a restart.

https://kubernetes.io/docs/concepts/workloads/pods/probes/. The first probe that counts comes a period after the start,
as a kubelet's usually does. Until a container first succeeds it is tried more often besides, from 20 ms after its start
on: those tries can only find it ready sooner, and their failures count for nothing. A lab is up when its programs are,
not up to a period later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum

from mesh_lab.kube.node.pod.checks import Result
from mesh_lab.kube.objects.containers import Probe

_FIRST_TRY_SECONDS = 0.02
_FIRST_EXEC_SECONDS = 0.1  # a command costs more than a connection
_GROWTH = 1.5


class Kind(StrEnum):
    """The three probes, as their events name them."""

    STARTUP = "Startup"
    READINESS = "Readiness"
    LIVENESS = "Liveness"


@dataclass
class Verdict:
    """Counts results in a row: a change needs as many as the probe's threshold."""

    probe: Probe
    healthy: bool
    _streak: int = 0
    _last: bool | None = None

    def count(self, ok: bool) -> bool:
        """Count a result; return whether the verdict changed, or failed once more."""
        self._streak = self._streak + 1 if ok == self._last else 1
        self._last = ok
        threshold = self.probe.success_threshold if ok else self.probe.failure_threshold
        if self._streak < threshold:
            return False
        changed = self.healthy != ok
        self.healthy = ok
        return changed or not ok


@dataclass(frozen=True)
class Reports:
    """The prober's callbacks: `verdict` when a threshold is reached, `failed` for each failure that counts."""

    verdict: Callable[[Kind, bool], None]
    failed: Callable[[Kind, str], None]


async def run(kind: Kind, probe: Probe, check: Callable[[], Awaitable[Result]], reports: Reports) -> bool:
    """Probe until cancelled, a startup probe until its first verdict, a liveness probe until it fails; return that."""
    loop = asyncio.get_running_loop()
    verdict = Verdict(probe, healthy=kind is Kind.LIVENESS)
    if probe.initial_delay_seconds:
        await asyncio.sleep(probe.initial_delay_seconds)
    due = loop.time() + probe.period_seconds
    try_after = _FIRST_EXEC_SECONDS if probe.exec is not None else _FIRST_TRY_SECONDS
    if kind is Kind.LIVENESS:
        await asyncio.sleep(probe.period_seconds)
    while True:
        result = await _attempt(check, probe.timeout_seconds)
        counts = loop.time() >= due
        while due <= loop.time():
            due += probe.period_seconds
        if not result.unknown and (result.ok or counts):
            if not result.ok:
                reports.failed(kind, result.message)
            if verdict.count(result.ok):
                reports.verdict(kind, result.ok)
                # A container that failed is about to be restarted: it is not probed again, nor ended a second time.
                if kind is Kind.STARTUP or (kind is Kind.LIVENESS and not result.ok):
                    return result.ok
        if verdict.healthy:
            try_after = 0.0
        pause = due - loop.time()
        if try_after:
            pause = min(pause, try_after)
            try_after *= _GROWTH
        await asyncio.sleep(max(pause, 0))


async def _attempt(check: Callable[[], Awaitable[Result]], limit: float) -> Result:
    try:
        async with asyncio.timeout(limit):
            return await check()
    except TimeoutError:
        return Result(False, f"command timed out: probe did not answer within {limit:g}s")
