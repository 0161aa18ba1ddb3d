"""What was done to the cluster, and when."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from mesh_lab.rfc3339 import micro_timestamp


@dataclass(frozen=True)
class Entry:
    """One thing that was done: the moment (RFC 3339), the seconds since the log's begin, and what."""

    moment: str
    seconds: float
    what: str

    def __str__(self) -> str:
        return f"{self.moment} +{self.seconds:.3f} s  {self.what}"


@dataclass
class ChaosLog:
    """The entries, in their order; `str` of it is what a failed test's report shows."""

    entries: list[Entry] = field(default_factory=list)
    _start: float = field(default_factory=time.monotonic)

    def add(self, what: str) -> None:
        """Note what was just done."""
        self.entries.append(Entry(micro_timestamp(), time.monotonic() - self._start, what))

    def __str__(self) -> str:
        return "\n".join(str(entry) for entry in self.entries) or "nothing was done"
