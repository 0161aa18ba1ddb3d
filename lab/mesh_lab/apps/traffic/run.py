"""Carries out a plan: workers take turns from one counter, so that exactly the stated number of requests is sent."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping

from mesh_lab.apps.traffic.calls import GrpcSender
from mesh_lab.apps.traffic.plan import Plan
from mesh_lab.apps.traffic.requests import HttpSender, Result, Sender
from mesh_lab.apps.traffic.tcp import TcpSender

Senders: Mapping[str, Callable[[Plan], Sender]] = {
    "http": HttpSender,
    "https": HttpSender,
    "grpc": GrpcSender,
    "grpcs": GrpcSender,
    "tcp": TcpSender,
}
"""What sends the requests of a plan, by its URL's scheme."""


async def run_plan(plan: Plan, write: Callable[[str], object]) -> bool:
    """Send everything; write a line a result and the summary. True when every request got an answer.

    Raises:
        ValueError: the URL cannot be used, or a certificate to trust.
    """
    return await Run(plan, write).carry_out()


class Run:
    """A plan that is carried out.

    Raises:
        ValueError: the URL cannot be used, or a certificate to trust.
    """

    def __init__(self, plan: Plan, write: Callable[[str], object]) -> None:
        self._plan = plan
        self._write = write
        self._sender = Senders[plan.scheme](plan)
        self._stop = asyncio.Event()
        self._next = 0
        self._started = 0.0
        self._durations: list[float] = []
        self._statuses: Counter[str] = Counter()
        self._versions: Counter[str] = Counter()
        self._unanswered = 0
        self._cut_short = False

    async def carry_out(self) -> bool:
        """Send everything, once; see `run_plan`."""
        self._started = time.perf_counter()
        with contextlib.closing(self._sender):
            try:
                async with asyncio.timeout(self._plan.deadline):
                    await self._all(self._sender)
            except TimeoutError:
                self._cut_short = True
        return self._finish()

    def stop(self) -> None:
        """Begin no further request. Those under way are waited for, and the run counts as whole."""
        self._stop.set()

    async def _all(self, send: Sender) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._plan.concurrency, self._plan.count)):
                group.create_task(self._worker(send))

    async def _worker(self, send: Sender) -> None:
        while self._next < self._plan.count and not self._stop.is_set():
            index = self._next
            self._next += 1
            if self._plan.rate and await self._stopped_before(self._started + index / self._plan.rate):
                return
            begun = time.perf_counter()
            result = await send(index)
            duration = (time.perf_counter() - begun) * 1000
            self._record(
                {"at_ms": round((begun - self._started) * 1000, 2), "duration_ms": round(duration, 3), **result}
            )

    async def _stopped_before(self, moment: float) -> bool:
        """Wait for a moment of `perf_counter`, unless the run is to stop before it."""
        try:
            async with asyncio.timeout(moment - time.perf_counter()):
                await self._stop.wait()
        except TimeoutError:
            return False
        return True

    def _record(self, result: Result) -> None:
        self._durations.append(result["duration_ms"])
        self._statuses[_outcome(result)] += 1
        self._unanswered += not result["status"]
        if result.get("version"):
            self._versions[result["version"]] += 1
        if not self._plan.summary_only:
            self._write(json.dumps(result) + "\n")

    def _finish(self) -> bool:
        elapsed = time.perf_counter() - self._started
        ordered = sorted(self._durations)
        summary = {
            "sent": len(ordered),
            "asked": self._plan.count,
            "cut_short": self._cut_short,
            "seconds": round(elapsed, 3),
            "requests_per_second": round(len(ordered) / elapsed, 1) if elapsed else 0.0,
            "statuses": dict(self._statuses),
            "versions": dict(self._versions),
            "duration_ms": {f"p{share}": percentile(ordered, share) for share in (50, 90, 99)} if ordered else {},
        }
        self._write(json.dumps({"summary": summary}) + "\n")
        return not self._cut_short and not self._unanswered


def _outcome(result: Result) -> str:
    """The status, that of gRPC where it is no success, or the error."""
    if code := result.get("grpc_status"):
        return f"grpc {code}"
    return str(result["status"] or result["error"])


def percentile(ordered: list[float], share: float) -> float:
    """The smallest value that `share` percent of all do not exceed (nearest rank)."""
    rank = -(-len(ordered) * share // 100)
    return ordered[max(int(rank), 1) - 1]
