"""Making the load: so many connections, each one request after the other."""

from __future__ import annotations

import asyncio
import time
from base64 import b64encode
from collections import Counter as Tally
from collections import deque
from dataclasses import dataclass, field

from mesh_lab.apps.http.answers import Answer, ApiError, ClientConnection
from mesh_lab.apps.http.client import Origin, connect, parse_url, resolve
from mesh_lab.apps.samples.fortio.flags import Options
from mesh_lab.apps.samples.fortio.histogram import Counter, Histogram

NO_ANSWER = -1


@dataclass
class Result:
    """What came of a run; times in seconds."""

    options: Options
    url: str
    connections: list[Worker]
    resolution: float
    seconds: float = 0.0
    warmups: int = 0
    times: Histogram = field(init=False)
    errors: Histogram = field(init=False)
    codes: Tally[int] = field(default_factory=Tally)
    header_sizes: Counter = field(default_factory=Counter)
    sizes: Counter = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.times = Histogram(resolution=self.resolution)
        self.errors = Histogram(resolution=self.resolution)

    def add(self, took: float, answer: Answer | None) -> None:
        """Count one call."""
        code = answer.status if answer is not None else NO_ANSWER
        self.codes[code] += 1
        self.times.values.append(took)
        if code // 100 != 2:
            self.errors.values.append(took)
        head = header_size(answer) if answer is not None else 0
        # fortio tells the size of headers of good answers only.
        self.header_sizes.values.append(head if code // 100 == 2 else 0)
        self.sizes.values.append(head + (len(answer.body) if answer is not None else 0))


class Worker:
    """One connection at a time; after an error it is made anew, as fortio does."""

    def __init__(self, options: Options, url: str) -> None:
        self._options = options
        self.origin, self._target = parse_url(url)
        self._headers = request_headers(options, self.origin)
        self._body = options.payload.encode()
        self._method = options.X or ("POST" if options.payload else "GET")
        self._connection: ClientConnection | None = None
        self.sockets = 0
        self.connecting = Counter()
        self.address = ""

    async def call(self) -> Answer | None:
        """One request; None for no answer."""
        try:
            async with asyncio.timeout(self._options.timeout):
                if self._connection is None or not self._connection.usable:
                    await self._connect()
                assert self._connection is not None
                answer = await self._connection.request(self._method, self._target, self._headers, self._body)
        except (ApiError, TimeoutError):
            self.close()
            return None
        if answer.status // 100 != 2 or not self._options.keepalive:
            self.close()
        return answer

    async def _connect(self) -> None:
        begun = time.monotonic()
        if not self.address:
            self.address = (await resolve(self.origin.host))[0]
        self._connection = await connect(self.origin, deque([self.address]), http2=self._options.h2)
        self.sockets += 1
        self.connecting.values.append(time.monotonic() - begun)

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def request_headers(options: Options, origin: Origin) -> dict[str, str]:
    """The headers of each request: fortio's own, then those of `-H`."""
    headers = {"host": origin.authority, "user-agent": "fortio.org/fortio-mesh-lab"}
    if options.payload:
        headers["content-type"] = options.content_type or "application/octet-stream"
    if options.user:
        headers["authorization"] = "Basic " + b64encode(options.user.encode()).decode()
    for line in options.H:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return headers


def header_size(answer: Answer) -> int:
    """Bytes of the status line and the headers, as HTTP/1.1 has them."""
    return len(f"HTTP/1.1 {answer.status} \r\n\r\n") + sum(len(f"{n}: {v}\r\n") for n, v in answer.headers.pairs)


async def warm_up(result: Result) -> int | None:
    """One call of each connection before the run; the code of one that fails, unless errors are allowed."""
    answers = await asyncio.gather(*(worker.call() for worker in result.connections))
    result.warmups = len(answers)
    codes = [NO_ANSWER if answer is None else answer.status for answer in answers]
    if result.options.allow_initial_errors:
        return None
    return next((code for code in codes if code // 100 != 2), None)


async def run(result: Result) -> None:
    """Make all calls: `-n` of them, or as many as fit into `-t`."""
    options = result.options
    begun = time.monotonic()
    shares = [options.n // options.c + (number < options.n % options.c) for number in range(options.c)]
    try:
        async with asyncio.TaskGroup() as group:
            for worker, share in zip(result.connections, shares, strict=True):
                group.create_task(_work(result, worker, share, begun))
    finally:
        result.seconds = time.monotonic() - begun
        for worker in result.connections:
            worker.close()


async def _work(result: Result, worker: Worker, share: int, begun: float) -> None:
    options = result.options
    pause = options.c / options.qps if options.qps > 0 else 0.0
    end = begun + options.t if options.t > 0 and not options.n else float("inf")
    done = 0
    while done < share if options.n else time.monotonic() < end:
        due = begun + done * pause
        if pause and (early := due - time.monotonic()) > 0:
            if due >= end:
                return
            await asyncio.sleep(early)
        started = time.monotonic()
        answer = await worker.call()
        result.add(time.monotonic() - started, answer)
        done += 1
        if answer is None:
            # A refused connection comes back without a pause, and would keep the others from their turn.
            await asyncio.sleep(0)
