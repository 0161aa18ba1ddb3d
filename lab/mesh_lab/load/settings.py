"""The settings of a load run: how many users come and how, for how long, and its limits."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec

TARGET = "http://istio-ingressgateway.istio-system"


class Shape(StrEnum):
    """How the users come."""

    STEADY = "steady"
    RAMP = "ramp"
    SPIKE = "spike"


@dataclass(frozen=True, slots=True)
class Settings:
    """A run: users at the peak, its length in seconds, its limits. `image_prefix` is the cluster's registry."""

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

    def environment(self) -> dict[str, str]:
        """What the master reads."""
        variables = {
            "LOCUST_HOST": self.target,
            "LOCUST_USERS": str(self.users),
            "LOCUST_SPAWN_RATE": f"{self.spawn_rate:g}",
            "LOAD_SHAPE": self.shape,
            "LOAD_MAX_P99_MS": "" if self.max_p99_ms is None else f"{self.max_p99_ms:g}",
            "LOAD_MAX_ERROR_RATIO": "" if self.max_error_ratio is None else f"{self.max_error_ratio:g}",
            "LOCUST_RUN_TIME": f"{self.duration:g}s",
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
