"""The settings of a load run: how many users come and how, for how long, and its limits."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mesh_lab.load.limits import DROPPED, Limit, parse
from mesh_lab.load.locustfiles import builtin

USERS, MOST_USERS = 50, 2000
TARGET = "http://istio-ingressgateway.istio-system"


class Shape(StrEnum):
    """How the users come."""

    STEADY = "steady"
    RAMP = "ramp"
    SPIKE = "spike"
    SOAK = "soak"
    BREAKPOINT = "breakpoint"
    OWN = "own"


DURATION_SECONDS = {Shape.SOAK: 600.0, Shape.BREAKPOINT: 100.0}
"""How long a run of a shape is that says nothing of it; `ELSE_SECONDS` for the others."""
ELSE_SECONDS = 30.0
STEPS = 10
STEP_SECONDS = 5.0
"""A step of a search for a breakpoint is at least so long."""


@dataclass(frozen=True, slots=True)
class Settings:
    """A run: users at the peak, its length in seconds, its limits. `image_prefix` is the cluster's registry.

    Without a `locustfile` Bookinfo's is run, or (`page`) the target's address is asked for. `targeted`: the target was
    named. `warm_up` seconds come
    before and are not measured. `version_by` is where a response says its version (`header:NAME`, `json:a.b`).
    `in_mesh`: the workers have sidecars, of the control plane of `revision`. `rate`: an open model, of so many tasks a
    second; the users are then those that are free to begin with one. `steps` of the shape `breakpoint`.
    """

    shape: str
    users: int
    spawn_rate: float
    duration: float
    workers: int
    target: str
    max_p99_ms: float | None
    max_error_ratio: float | None
    ui: bool
    replace: bool = False
    image_prefix: str = ""
    locustfile: Path | None = None
    page: bool = False
    targeted: bool = False
    warm_up: float = 0.0
    version_by: str = ""
    limits: tuple[Limit, ...] = ()
    in_mesh: bool = False
    revision: str = ""
    rate: float | None = None
    steps: int = STEPS

    @property
    def all_limits(self) -> tuple[Limit, ...]:
        """Those of `limits`, and those that the other settings mean."""
        meant = []
        if self.max_p99_ms is not None:
            meant.append(f"p99>{self.max_p99_ms:.15g}ms")
        if self.max_error_ratio is not None:
            meant.append(f"errors>{f'{self.max_error_ratio:.12f}'.rstrip('0').rstrip('.')}")
        if self.rate is not None and all(limit.figure != DROPPED for limit in self.limits):
            meant.append("dropped>0%")
        return (*map(parse, meant), *self.limits)

    @property
    def host(self) -> str:
        """What Locust's users put before their paths. With `page`, the address without its path."""
        if not self.page:
            return self.target
        parts = urlsplit(self.target)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def path(self) -> str:
        """What is asked for with `page`: the target's path and query."""
        parts = urlsplit(self.target)
        return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")

    def asked(self) -> dict[str, Any]:
        """The run's settings as its report has them."""
        return {
            "locustfile": str(self.locustfile or builtin(self.target if self.page else "")),
            "target": self.target,
            "shape": self.shape,
            "users": self.users,
            "rate": self.rate,
            "spawn_rate": self.spawn_rate,
            "duration": self.duration,
            "steps": self.steps if self.shape == Shape.BREAKPOINT else None,
            "warm_up": self.warm_up,
            "workers": self.workers,
            "version_by": self.version_by,
            "in_mesh": self.in_mesh,
            "max_p99_ms": self.max_p99_ms,
            "max_error_ratio": self.max_error_ratio,
            "fail_if": [limit.text for limit in self.limits],
        }

    def worker_environment(self) -> dict[str, str]:
        """What the workers read, too."""
        return {
            "LOAD_SHAPE": self.shape,
            "LOAD_VERSION_BY": self.version_by,
            "LOAD_PATH": self.path,
            "LOAD_RATE": "" if self.rate is None else f"{self.rate:g}",
        }

    def environment(self) -> dict[str, str]:
        """What the master reads."""
        variables = {
            "LOCUST_HOST": self.host,
            "LOCUST_USERS": str(self.users),
            "LOCUST_SPAWN_RATE": f"{self.spawn_rate:g}",
            **self.worker_environment(),
            "LOAD_LIMITS": json.dumps([limit.text for limit in self.all_limits]),
            "LOAD_STEPS": str(self.steps),
            "LOAD_LOCUSTFILE": "" if self.locustfile is None else str(self.locustfile),
            "LOAD_WARM_UP": f"{self.warm_up:g}",
            "LOCUST_RUN_TIME": f"{self.warm_up + self.duration:g}s",
        }
        if self.ui:
            return variables
        return variables | {
            "LOCUST_HEADLESS": "true",
            "LOCUST_ONLY_SUMMARY": "true",
            "LOCUST_EXPECT_WORKERS": str(self.workers),
            "LOCUST_STOP_TIMEOUT": "5",
            "LOCUST_CSV": "/reports/load",
            "LOCUST_HTML": "/reports/load.html",
        }


def lacks_locust(cluster: str) -> bool:
    """Whether no run is possible: in the embedded cluster Locust is a program of this environment, else an image."""
    return cluster == "embedded" and find_spec("locust") is None


def users_for(rate: float | None) -> int:
    """How many users a run has that says nothing of them: with a rate, enough for answers that take a second."""
    return USERS if rate is None else min(MOST_USERS, max(USERS, math.ceil(rate)))
