"""Carries out a plan: workers take turns from one counter, so that exactly the stated number of requests is sent."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from mesh_lab.apps.http.answers import Answer, ApiError
from mesh_lab.apps.http.client import Client, parse_url
from mesh_lab.apps.traffic.plan import Plan
from mesh_lab.apps.traffic.tcp import TcpSender
from mesh_lab.apps.traffic.versions import version_of

MAX_SHOWN_BODY = 64 * 1024

Result = dict[str, Any]
Sender = Callable[[int], Awaitable[Result]]


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
        self._sender = TcpSender(plan) if plan.url.startswith("tcp://") else _HttpSender(plan)
        self._stop = asyncio.Event()
        self._next = 0
        self._started = 0.0
        self._durations: list[float] = []
        self._statuses: Counter[str] = Counter()
        self._versions: Counter[str] = Counter()
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
        self._statuses[str(result["status"] or result["error"])] += 1
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
        return not self._cut_short and all(status.isdigit() for status in self._statuses)


def percentile(ordered: list[float], share: float) -> float:
    """The smallest value that `share` percent of all do not exceed (nearest rank)."""
    rank = -(-len(ordered) * share // 100)
    return ordered[max(int(rank), 1) - 1]


class _HttpSender:
    """Sends requests of a plan over one client."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        try:
            origin, self._target = parse_url(plan.url)
        except ValueError as error:
            raise ValueError(f"url: {error}") from None
        self._client = Client(
            replace(origin, server_name=plan.server_name),
            http2=plan.http2,
            tls=_tls(plan) if origin.scheme == "https" else None,
            keep=not plan.new_connections,
            timeout=plan.timeout,
        )

    async def __call__(self, _: int) -> Result:
        plan, headers = self._plan, dict(self._plan.headers)
        if plan.distinct_ids:
            headers["x-request-id"] = str(uuid.uuid4())
        request_id = {"id": headers["x-request-id"]} if "x-request-id" in headers else {}
        try:
            answer = await self._client.request(plan.method, self._target, headers, plan.body)
        except ApiError as error:
            return {"status": 0, "error": error.kind, "detail": str(error), **request_id}
        return self._result(answer) | request_id

    def _result(self, answer: Answer) -> Result:
        result: Result = {
            "status": answer.status,
            "version": version_of(answer),
            "hostname": answer.headers.get("x-echo-hostname"),
            "protocol": answer.protocol,
            "bytes": len(answer.body),
        }
        if shown := self._plan.show_headers:
            result["headers"] = {name: answer.headers.get(name) for name in shown if name in answer.headers}
        if self._plan.show_body:
            result["body"] = answer.body[:MAX_SHOWN_BODY].decode("utf-8", "replace")
        return result

    def close(self) -> None:
        self._client.close()


def _tls(plan: Plan) -> Any:
    import ssl  # asyncio has it already; named here since only https needs it

    try:
        context = ssl.create_default_context(cafile=plan.ca, cadata=plan.ca_pem)
    except OSError as error:  # SSLError is one
        raise ValueError(f"{'ca_pem' if plan.ca_pem else 'ca'}: cannot be used: {error.strerror or error}") from error
    if plan.certificate_pem is not None:
        _show(context, plan.certificate_pem)
    if plan.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"] if plan.http2 else ["http/1.1"])
    return context


def _show(context: Any, pem: str) -> None:
    """Load the client's certificate. Python's ssl reads it from a file only; this one is in memory, without a name."""
    descriptor = os.memfd_create("certificate", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, pem.encode())
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    except OSError as error:  # SSLError is one
        raise ValueError(f"certificate_pem: cannot be used: {error.strerror or error}") from error
    finally:
        os.close(descriptor)
