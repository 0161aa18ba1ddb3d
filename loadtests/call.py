"""One gRPC method: each user calls it with an empty message (what `mesh-lab load --target grpc://...` runs)."""

from __future__ import annotations

import os

from locust import between, task
from meshgrpc import GrpcUser


class Caller(GrpcUser):
    """Calls the target's method."""

    wait_time = between(0.1, 0.5)

    @task
    def visit(self) -> None:
        """Call once."""
        self.call(os.environ["LOAD_PATH"])
