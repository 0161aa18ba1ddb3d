"""A slow stand-in of a service, and Locust runs against it, each in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from mesh_lab.load import locustfiles

USERS = """
from locust import FastHttpUser, constant, task


class Visitor(FastHttpUser):
    wait_time = constant(0.05)

    @task
    def visit(self):
        self.client.get("/")
"""


class Stalling(ThreadingHTTPServer):
    """Answers at once, but not between `stall` (seconds since the first request): what comes then waits for its end."""

    daemon_threads = True
    request_queue_size = 512

    def __init__(self, stall: tuple[float, float]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.stall = stall
        self.first: float | None = None
        self.answered = 0

    def hold(self) -> None:
        """Wait while it stalls."""
        now = time.monotonic()
        if self.first is None:
            self.first = now
        begin, end = (self.first + each for each in self.stall)
        if begin <= now < end:
            time.sleep(end - now)
        self.answered += 1


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer is one segment, or else the client's delayed ACK makes it slow
    server: Stalling

    def do_GET(self) -> None:
        self.server.hold()
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def stalling(begin: float, end: float) -> Iterator[Stalling]:
    """The stand-in, while the block runs."""
    server = Stalling((begin, end))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def run(
    target: str, settings: Mapping[str, str], *, users: str = USERS, workers: int = 0, timeout: float = 60
) -> dict[str, Any]:
    """The summary of a run of locust, in one process or in a master and its workers."""
    with tempfile.TemporaryDirectory() as scratch:
        for source in locustfiles.shared():
            Path(scratch, source.name).write_text(source.read_text())
        Path(scratch, "users.py").write_text(users)
        command = [sys.executable, "-m", "locust", "-f", f"{scratch}/meshload.py,{scratch}/users.py", "--headless"]
        command += ["--only-summary", "--host", target, "--stop-timeout", "5"]
        if workers:
            with socket.create_server(("127.0.0.1", 0)) as free:
                port = str(free.getsockname()[1])
            command += ["--processes", str(workers), "--master-bind-port", port, "--master-port", port]
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **settings}
        pipe = subprocess.PIPE
        with subprocess.Popen(
            command, stdout=pipe, stderr=pipe, text=True, cwd=scratch, env=environment, start_new_session=True
        ) as locust:
            try:
                printed, said = locust.communicate(timeout=timeout)
            finally:
                # Workers whose master has failed go on looking for it.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(locust.pid, signal.SIGKILL)
    lines = [line.partition("SUMMARY ")[2] for line in printed.splitlines() if line.startswith("MESH-LAB SUMMARY")]
    assert len(lines) == 1, printed + said
    summary: dict[str, Any] = json.loads(lines[0])
    return summary
