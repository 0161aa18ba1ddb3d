"""Reflectors of the API server: one list and one watch a kind, repeated through restarts, until cancelled.

A list replaces what was known of a kind, a watch goes on from it. The server may end a watch, forget the version it
should go on from (410: list again), restart, or not know the kind yet (404: its CRD comes later); none of that ends a
reflector, nor empties what is known.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import aclosing
from typing import Protocol

from mesh_lab.backoff import Backoff
from mesh_lab.controlplane.kube.client import ApiError, KubeClient, Object, Unreachable
from mesh_lab.controlplane.kube.kinds import Kind

log = logging.getLogger(__name__)

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 2.0


class Sink(Protocol):
    """Takes what is seen of a kind."""

    def replace(self, kind: Kind, objects: list[Object]) -> None:
        """These objects are all there are."""

    def apply(self, kind: Kind, event: str, obj: Object) -> None:
        """ADDED, MODIFIED or DELETED."""


class Gate:
    """A sink that buffers events until they are taken; from then on it hands them over at once."""

    def __init__(self) -> None:
        self._sink: Sink | None = None
        self._kept: list[Callable[[Sink], None]] = []

    def open(self, sink: Sink) -> None:
        """Hand over what was kept, in its order, and all that follows."""
        self._sink = sink
        for hand_over in self._kept:
            hand_over(sink)
        self._kept.clear()

    def replace(self, kind: Kind, objects: list[Object]) -> None:
        """These objects are all there are."""
        self._take(lambda sink: sink.replace(kind, objects))

    def apply(self, kind: Kind, event: str, obj: Object) -> None:
        """ADDED, MODIFIED or DELETED."""
        self._take(lambda sink: sink.apply(kind, event, obj))

    def _take(self, hand_over: Callable[[Sink], None]) -> None:
        if self._sink is not None:
            hand_over(self._sink)
        else:
            self._kept.append(hand_over)


class Pauses(Backoff):
    """Pauses of the back-off from 50 ms to 2 s, with jitter, so that kinds do not come back in step."""

    def __init__(self) -> None:
        super().__init__(_FIRST_PAUSE, _LONGEST_PAUSE)

    async def pause(self) -> None:
        """Wait."""
        await asyncio.sleep(self.next() * random.uniform(0.5, 1))


class Follower:
    """The reflector of a kind. `synced` is set by its first list, or by a 404 for the kind."""

    def __init__(self, client: KubeClient, kind: Kind, sink: Sink) -> None:
        self._client = client
        self._kind = kind
        self._sink = sink
        self._complained = ""
        self.synced = asyncio.Event()

    async def run(self) -> None:
        """Follow until cancelled."""
        backoff = Pauses()
        version = ""
        while True:
            try:
                if not version:
                    version = await self._list()
                self._complained = ""
                quiet = True
                async with aclosing(self._client.watch(self._kind, version)) as events:
                    async for event in events:
                        backoff.reset()
                        quiet = False
                        version = event.object["metadata"]["resourceVersion"]
                        if event.type != "BOOKMARK":
                            self._sink.apply(self._kind, event.type, event.object)
                if quiet:
                    await backoff.pause()
            except ApiError as error:
                version = ""
                if error.status == 404:
                    self._sink.replace(self._kind, [])
                    self.synced.set()
                elif error.status != 410:
                    self._complain(error)
                await backoff.pause()
            except Unreachable as error:
                self._complain(error)
                await backoff.pause()
            except (KeyError, TypeError, AttributeError) as error:
                # Not what an API server says: a list without its version, an event without an object.
                version = ""
                self._complain(error)
                await backoff.pause()

    async def _list(self) -> str:
        """Hand over all there is; return its version. The list itself must not live as long as the watch after it."""
        objects, version = await self._client.list_all(self._kind)
        self._sink.replace(self._kind, objects)
        self.synced.set()
        return version

    def _complain(self, error: Exception) -> None:
        """Log each new reason once: a server that is away for a minute is one line, not sixty."""
        words = str(error) if isinstance(error, (ApiError, Unreachable)) else repr(error)
        if words != self._complained:
            self._complained = words
            log.warning("following %s: %s", self._kind.plural, words)
