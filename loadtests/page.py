"""One address of any service: each user asks for it again and again (what `mesh-lab load --target URL` runs)."""

from __future__ import annotations

import os

from locust import FastHttpUser, between, task


class Visitor(FastHttpUser):
    """Asks for the target's path."""

    wait_time = between(0.1, 0.5)
    connection_timeout = 5.0
    network_timeout = 10.0

    @task
    def visit(self) -> None:
        """Ask once."""
        self.client.get(os.environ.get("LOAD_PATH") or "/")
