"""What happens to the mesh during a run: its configuration's changes and its proxies' usage, on the run's own time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from mesh_lab.client.api import Api
from mesh_lab.load.marks import Marks
from mesh_lab.load.usage import Usage, pause

_END_SECONDS = 5.0


@dataclass
class Clock:
    """When the measured part of the run began, by this machine's clock, told by lines that come a little late."""

    _began: float | None = None
    _elapsed: float = 0.0

    def see(self, elapsed: float, now: float | None = None) -> None:
        """The run has been measured for so many seconds. Fewer than before: it has been begun anew (a warm-up)."""
        began = (time.time() if now is None else now) - elapsed
        self._began = began if self._began is None or elapsed < self._elapsed else min(self._began, began)
        self._elapsed = elapsed

    @property
    def began(self) -> float | None:
        """The Unix time of it; None before anything was measured."""
        return self._began


@dataclass
class Observer:
    """`found` is what is known when the run is over."""

    marks: Marks
    usage: Usage
    clock: Clock = field(default_factory=Clock)

    def found(self) -> dict[str, Any]:
        """Stop, and tell as JSON: moments are seconds since the measured part of the run began."""
        began = self.clock.began or time.time()
        marks, usage = self.marks.stop(), self.usage.stop()
        return {
            "began": began,
            "marks": [
                {
                    **asdict(mark),
                    "at": round(mark.at - began, 3),
                    "acknowledged": None if mark.acknowledged is None else round(mark.acknowledged - began, 3),
                }
                for mark in marks
            ],
            "marks_missing": self.marks.missing,
            "usage": {
                pod: [[round(each.at - began, 2), round(each.cores, 4), each.memory] for each in taken]
                for pod, taken in usage.items()
            },
            "usage_missing": self.usage.missing,
        }


@contextmanager
def observed(api: Api, duration: float) -> Iterator[Observer]:
    """Observe the mesh while the block runs. What the cluster refuses to tell is no failure of the run."""
    # Its own: how the control plane is asked is kept with it, and a run does not wait for Istio's analysis.
    with Api(api.kubeconfig) as own:
        observer = Observer(Marks(own), Usage(own, pause(duration)))
        observer.marks.start()
        observer.usage.start()
        try:
            yield observer
        finally:
            observer.marks.stop()
            observer.usage.stop()
            observer.marks.join(_END_SECONDS)
