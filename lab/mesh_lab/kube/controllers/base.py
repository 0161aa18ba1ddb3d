"""What all controllers share: informers that put keys into a work queue, and workers that reconcile them.

A controller is level-triggered: the queue says *which* object to reconcile, never what happened to it, and its state is
read from the registry. Reads are never stale (the registry is in this process, and a write is visible once it
returned), so no expectations are kept from one reconciliation to the next.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from mesh_lab.kube.changes import Object
from mesh_lab.kube.controllers.queue import WorkQueue
from mesh_lab.kube.errors import ApiError
from mesh_lab.kube.recording import Recorder
from mesh_lab.kube.reflector import BOOKMARK, DELETED, Event, follow
from mesh_lab.kube.registry.options import DeleteOptions
from mesh_lab.kube.registry.registry import Registry
from mesh_lab.kube.resources import Resource

log = logging.getLogger(__name__)

RECONCILE_LIMIT_SECONDS = 60.0
"""The time limit of one reconciliation; webhooks have shorter limits of their own."""

LASTING_SECONDS = 5.0
"""From this requeue delay on a failure is logged as a warning. While a lab starts there are shorter ones: pods wait
for the webhook that injects them.
"""


class Key(NamedTuple):
    """The namespace and name of an object of the controller's kind."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


Keys = Callable[[Event], Iterable[Key]]
Subject = TypeVar("Subject", bound=Hashable)
View = TypeVar("View")


def own_key(event: Event) -> Iterable[Key]:
    """Return the key of the event's object itself."""
    metadata = event.object["metadata"]
    return (Key(metadata.get("namespace", ""), metadata["name"]),)


class Loop(ABC, Generic[Subject]):
    """A work queue of subjects and the workers that reconcile them, one worker a subject."""

    name: str
    workers = 4

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.queue: WorkQueue[Subject] = WorkQueue()
        self.events = Recorder(registry, self.name)
        self._listed: set[Resource] = set()

    @abstractmethod
    async def reconcile(self, key: Subject) -> float | None:
        """Reconcile the subject. Returns the seconds after which to requeue it, if it depends on time.

        Raises:
            ApiError: it failed; the subject is requeued with back-off.
        """

    @abstractmethod
    async def observe(self) -> None:
        """Put what is to be reconciled into the queue, until cancelled."""

    @property
    @abstractmethod
    def synced(self) -> bool:
        """Whether the initial lists are complete (informers' HasSynced)."""

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.events.run())
                tasks.create_task(self.observe())
                for _ in range(self.workers):
                    tasks.create_task(self._work())
        finally:
            self.queue.close()

    async def _work(self) -> None:
        while True:
            key = await self.queue.get()
            try:
                await self._process(key)
            finally:
                self.queue.done(key)

    async def _process(self, key: Subject) -> None:
        try:
            async with asyncio.timeout(RECONCILE_LIMIT_SECONDS):
                again = await self.reconcile(key)
        except ApiError as error:
            delay = self.queue.requeue(key)
            level = logging.WARNING if delay >= LASTING_SECONDS else logging.DEBUG
            level = logging.DEBUG if error.reason == "Conflict" else level
            log.log(level, "%s: %s: %s; again in %.3g s", self.name, key, error.message, delay)
        except TimeoutError:
            log.warning("%s: %s took over %.0f s; again", self.name, key, RECONCILE_LIMIT_SECONDS)
            self.queue.requeue(key)
        except Exception:  # an error in our code for one object must not stop all others
            log.exception("%s: %s", self.name, key)
            self.queue.requeue(key)
        else:
            self.queue.forget(key)
            if again is not None:
                self.queue.add_after(key, again)


class Controller(Loop[Key]):
    """One kind's controller. Subclasses define what they watch and how one object is reconciled."""

    @abstractmethod
    def sources(self) -> Mapping[Resource, Keys]:
        """Return the resources to watch, each with a function from an event to the keys to enqueue."""

    @property
    def synced(self) -> bool:
        """Whether all sources have been listed."""
        return self.sources().keys() <= self._listed

    async def observe(self) -> None:
        """Watch all sources."""
        async with asyncio.TaskGroup() as tasks:
            for resource, keys in self.sources().items():
                tasks.create_task(self._follow(resource, keys))

    async def create(self, resource: Resource, wanted: Object) -> None:
        """Create an object; in a namespace that is terminating nothing is created any more.

        Raises:
            ApiError: it was refused for another reason.
        """
        try:
            await self.registry.create(resource, wanted)
        except ApiError as error:
            if not error.namespace_terminating:
                raise

    async def delete(self, resource: Resource, present: Object) -> None:
        """Delete this object and no later one of its name; it may be gone already.

        Raises:
            ApiError: it cannot be deleted.
        """
        metadata = present["metadata"]
        options = DeleteOptions(uid=metadata["uid"])
        try:
            await self.registry.delete(resource, metadata["name"], metadata["namespace"], options=options)
        except ApiError as error:
            if error.reason != "NotFound":
                raise

    async def _follow(self, resource: Resource, keys: Keys) -> None:
        async for event in follow(self.registry, resource):
            if event.type == BOOKMARK:
                self._listed.add(resource)
                continue
            for key in keys(event):
                self.queue.add(key)


class Views(Generic[View]):
    """Typed views of stored objects, decoded once a version."""

    def __init__(self, kind: type[View]) -> None:
        self._kind = kind
        self._decoded: dict[str, tuple[str, View]] = {}

    def __call__(self, obj: Mapping[str, Any]) -> View:
        """Return the view of a stored object.

        Raises:
            msgspec.ValidationError: the object does not fit the view; validation should have refused it.
        """
        metadata = obj["metadata"]
        uid, version = metadata["uid"], metadata["resourceVersion"]
        known = self._decoded.get(uid)
        if known is not None and known[0] == version:
            return known[1]
        view = msgspec.convert(obj, self._kind)
        self._decoded[uid] = (version, view)
        return view

    def drop(self, uid: str) -> None:
        """Forget an object that is gone."""
        self._decoded.pop(uid, None)

    def own_key(self, event: Event) -> Iterable[Key]:
        """Return the key of the event's object itself, and forget the object if it is gone."""
        if event.type == DELETED:
            self.drop(event.object["metadata"]["uid"])
        return own_key(event)
