"""The settings of a load run: how many users come and how, for how long, and its limits."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mesh_lab.load.limits import Limit

TARGET = "http://istio-ingressgateway.istio-system"


class Shape(StrEnum):
    """How the users come."""

    STEADY = "steady"
    RAMP = "ramp"
    SPIKE = "spike"
    OWN = "own"


@dataclass(frozen=True, slots=True)
class Settings:
    """A run: users at the peak, its length in seconds, its limits. `image_prefix` is the cluster's registry.

    Without a `locustfile` Bookinfo's is run, or (`page`) the target's address is asked for. `warm_up` seconds come
    before and are not measured. `version_by` is where a response says its version (`header:NAME`, `json:a.b`).
    `in_mesh`: the workers have sidecars, of the control plane of `revision`.
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
    warm_up: float = 0.0
    version_by: str = ""
    limits: tuple[Limit, ...] = ()
    in_mesh: bool = False
    revision: str = ""

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
            "locustfile": str(self.locustfile or ("page.py" if self.page else "bookinfo.py")),
            "target": self.target,
            "shape": self.shape,
            "users": self.users,
            "spawn_rate": self.spawn_rate,
            "duration": self.duration,
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
        return {"LOAD_SHAPE": self.shape, "LOAD_VERSION_BY": self.version_by, "LOAD_PATH": self.path}

    def environment(self) -> dict[str, str]:
        """What the master reads."""
        variables = {
            "LOCUST_HOST": self.host,
            "LOCUST_USERS": str(self.users),
            "LOCUST_SPAWN_RATE": f"{self.spawn_rate:g}",
            **self.worker_environment(),
            "LOAD_MAX_P99_MS": "" if self.max_p99_ms is None else f"{self.max_p99_ms:g}",
            "LOAD_MAX_ERROR_RATIO": "" if self.max_error_ratio is None else f"{self.max_error_ratio:g}",
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
