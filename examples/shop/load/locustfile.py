"""People who look at the shop."""

from __future__ import annotations

from locust import FastHttpUser, between, task


class Visitor(FastHttpUser):
    """Looks at the page again and again."""

    wait_time = between(0.1, 0.5)

    @task
    def look(self) -> None:
        """Read the page."""
        self.client.get("/")
