"""When the mesh's configuration changed during a run, and when the proxies had acknowledged it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from mesh_lab.client.api import Api, UnknownKindError
from mesh_lab.client.connection import ApiError
from mesh_lab.client.controlplane import status_of
from mesh_lab.client.meshstatus import MeshStatus
from mesh_lab.client.objects import Object, Reference
from mesh_lab.client.rollout import await_gone, await_live
from mesh_lab.errors import LabError
from mesh_lab.meshkinds import KINDS, MeshKind

ACKNOWLEDGED_SECONDS = 60.0
"""How long a change is followed."""
_SILENCE_SECONDS = 2.0
_AGAIN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Mark:
    """A change of a resource: when it was seen, and when every proxy that it concerns had acknowledged it.

    Moments are Unix time in seconds. `acknowledged` is None where that did not happen while it was followed; `why` says
    then what was in the way.
    """

    at: float
    what: str
    resource: str
    acknowledged: float | None = None
    why: str = ""


@dataclass
class Marks:
    """All changes from `start` to `stop`. `missing`: kinds whose changes could not be followed, and why."""

    api: Api
    missing: list[str] = field(default_factory=list)
    _found: list[Mark] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _over: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        """Begin to follow each kind that the cluster has; what is there now is no change."""
        try:
            status = status_of(self.api, findings=False)
        except ApiError as error:
            self.missing.append(f"the control plane: {error.message}")
            return
        for kind in KINDS:
            if not kind.group or not kind.acted_on:
                continue
            try:
                version = self.api.served(kind.group, kind.name, kind.versions)
                followed = _Kind(self.api.path(version, kind.name), version, kind)
                followed.changes(self.api)
            except UnknownKindError:
                continue
            except ApiError as error:
                self.missing.append(f"{kind.name}: {error.message}")
                continue
            self._run(self._follow, followed, status)

    def stop(self) -> list[Mark]:
        """Stop, and return the changes in their order."""
        self._over.set()
        with self._lock:
            return sorted(self._found, key=lambda mark: mark.at)

    def join(self, seconds: float) -> None:
        """Wait for what is still under way, at most so long."""
        end = time.monotonic() + seconds
        for thread in list(self._threads):
            thread.join(max(0.0, end - time.monotonic()))

    def _run(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _follow(self, kind: _Kind, status: MeshStatus) -> None:
        while not self._over.is_set():
            try:
                for what, ref, version in kind.next_changes(self.api):
                    mark = Mark(time.time(), what, str(ref))
                    with self._lock:
                        self._found.append(mark)
                    self._run(self._await, status, mark, ref, version)
            except LabError:
                # A control plane or an API server that restarts: what has changed meanwhile is seen afterwards.
                self._over.wait(_AGAIN_SECONDS)

    def _await(self, status: MeshStatus, mark: Mark, ref: Reference, version: str) -> None:
        deadline = time.monotonic() + ACKNOWLEDGED_SECONDS
        try:
            if mark.what == "deleted":
                await_gone(status, ref, deadline)
            else:
                await_live(status, ref, version, deadline)
        except LabError as error:
            known = replace(mark, why=error.message)
        else:
            known = replace(mark, acknowledged=time.time())
        with self._lock:
            self._found[self._found.index(mark)] = known


class _Kind:
    """The resources of one kind, as they were last seen."""

    def __init__(self, path: str, api_version: str, kind: MeshKind) -> None:
        self._path, self._api_version, self._name = path, api_version, kind.name
        self._generations: dict[tuple[str, str], object] = {}
        self._version = ""

    def changes(self, api: Api) -> Iterator[tuple[str, Reference, str]]:
        """What has changed since the last time, by listing all: what happened, to which, and its version now."""
        listed = api.request("GET", self._path)
        found = [change for obj in listed["items"] if (change := self._changed("MODIFIED", obj)) is not None]
        present = {_key(obj) for obj in listed["items"]}
        for key in set(self._generations) - present:
            del self._generations[key]
            found.append(("deleted", self._reference(key), ""))
        self._version = listed["metadata"]["resourceVersion"]
        return iter(found)

    def next_changes(self, api: Api) -> Iterator[tuple[str, Reference, str]]:
        """What changes from now on, as it does, until nothing has for a while.

        Raises:
            LabError: it broke off; the next call begins with a list.
        """
        if not self._version:
            yield from self.changes(api)
        try:
            for what, obj in api.watch(self._path, self._version, silence=_SILENCE_SECONDS):
                self._version = obj["metadata"]["resourceVersion"]
                if what != "BOOKMARK" and (change := self._changed(what, obj)) is not None:
                    yield change
        except LabError:
            self._version = ""
            raise

    def _changed(self, what: str, obj: Object) -> tuple[str, Reference, str] | None:
        key = _key(obj)
        if what == "DELETED":
            self._generations.pop(key, None)
            return "deleted", self._reference(key), ""
        # A status that is written is a version, but no change of the specification.
        generation = obj["metadata"].get("generation", obj["metadata"]["resourceVersion"])
        before = self._generations.get(key)
        self._generations[key] = generation
        if before == generation:
            return None
        return "created" if before is None else "changed", self._reference(key), obj["metadata"]["resourceVersion"]

    def _reference(self, key: tuple[str, str]) -> Reference:
        return Reference(self._api_version, self._name, key[1], key[0])


def _key(obj: Object) -> tuple[str, str]:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]
