"""Counting requests in fixed windows, as ratelimit's default does with redis."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mesh_lab.apps.samples.ratelimit.config import Entry, Limit, Node

_MAX_COUNTERS = 100_000


@dataclass(frozen=True)
class Descriptor:
    """What a request is counted by; `override` is a limit that the request itself brings along."""

    entries: tuple[Entry, ...]
    override: Limit | None = None


@dataclass(frozen=True)
class Status:
    """What comes of one descriptor: over its limit or not, and what is left of the window."""

    over: bool
    limit: Limit | None = None
    remaining: int = 0
    reset_seconds: int = 0


class Limiter:
    """The counters of all domains."""

    def __init__(self, domains: Mapping[str, Node], clock: Callable[[], float] = time.time) -> None:
        self.domains = domains
        self._clock = clock
        self._counters: dict[tuple[str, tuple[Entry, ...], int, int], int] = {}

    def check(self, domain: str, descriptors: Sequence[Descriptor], hits: int) -> list[Status]:
        """Count `hits` for each descriptor that has a limit."""
        return [self._one(domain, descriptor, max(1, hits)) for descriptor in descriptors]

    def _one(self, domain: str, descriptor: Descriptor, hits: int) -> Status:
        tree = self.domains.get(domain)
        limit = descriptor.override or (tree.find(descriptor.entries) if tree is not None else None)
        if limit is None:
            return Status(over=False)
        if limit.unlimited:
            return Status(over=False, remaining=2**32 - 1)
        now = int(self._clock())
        window = now - now % limit.seconds
        count = self._count((domain, descriptor.entries, limit.seconds, window), hits, now)
        over = count > limit.requests and not limit.shadow
        return Status(over, limit, max(0, limit.requests - count), window + limit.seconds - now)

    def _count(self, key: tuple[str, tuple[Entry, ...], int, int], hits: int, now: int) -> int:
        if key not in self._counters and len(self._counters) >= _MAX_COUNTERS:
            self._counters = {one: count for one, count in self._counters.items() if one[2] + one[3] > now}
        self._counters[key] = self._counters.get(key, 0) + hits
        return self._counters[key]
