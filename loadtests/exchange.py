"""One TCP port of any service: each user sends a line to it (what `mesh-lab load --target tcp://HOST:PORT` runs)."""

from __future__ import annotations

from locust import between, task
from meshtcp import TcpUser


class Visitor(TcpUser):
    """Sends a line on its connection and waits for an answer, again and again."""

    wait_time = between(0.1, 0.5)

    @task
    def visit(self) -> None:
        """Send once."""
        self.exchange(b"hello\n")
