"""What the API has of one kind, kept up to date: a list, then a watch from there, and again when that breaks off."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlencode

from mesh_lab.backoff import Backoff
from mesh_lab.client.connection import ApiError
from mesh_lab.errors import LabError
from mesh_lab.prometheus.targets import Key, Object

_SILENCE_SECONDS = 60.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 15.0
_GONE = 410
_COLLECTIONS = {
    "pod": ("/api/v1", "pods"),
    "service": ("/api/v1", "services"),
    "endpoints": ("/api/v1", "endpoints"),
    "node": ("/api/v1", "nodes"),
    "namespace": ("/api/v1", "namespaces"),
    "endpointslice": ("/apis/discovery.k8s.io/v1", "endpointslices"),
    "ingress": ("/apis/networking.k8s.io/v1", "ingresses"),
}


class Api(Protocol):
    """The part of `mesh_lab.client.api.Api` that is wanted here."""

    def request(self, method: str, path: str, /) -> Any:
        """The answer to a request."""

    def watch(self, path: str, resource_version: str, /, *, silence: float) -> Iterator[tuple[str, Any]]:
        """Changes after a version, as (type, object)."""


@dataclass(frozen=True)
class Source:
    """A collection of the API: a role's objects in a namespace (or all), by selectors."""

    role: str
    namespace: str = ""
    label: str = ""
    field: str = ""

    @property
    def path(self) -> str:
        """Where the API serves the collection, with the query of its selectors."""
        group, plural = _COLLECTIONS[self.role]
        place = f"/namespaces/{self.namespace}" if self.namespace else ""
        query = {"labelSelector": self.label, "fieldSelector": self.field}
        given = urlencode({name: value for name, value in query.items() if value})
        return f"{group}{place}/{plural}" + (f"?{given}" if given else "")


class Reflector:
    """Follows a source in a thread of its own until it is stopped. `changed` is called after each change."""

    def __init__(self, api: Api, source: Source, changed: Callable[[], None], log: Callable[[str], None]) -> None:
        self._api = api
        self._source = source
        self._changed = changed
        self._log = log
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._objects: dict[Key, Object] | None = None

    def start(self) -> None:
        """Begin to follow."""
        threading.Thread(target=self._run, name=self._source.path, daemon=True).start()

    def stop(self) -> None:
        """Follow no longer; the thread ends with what it waits for."""
        self._stopped.set()

    def objects(self) -> Mapping[Key, Object] | None:
        """What there is now; None before the first list."""
        with self._lock:
            return None if self._objects is None else dict(self._objects)

    def _run(self) -> None:
        pauses = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)
        while not self._stopped.is_set():
            try:
                self._follow(pauses)
            except LabError as error:
                if not (isinstance(error, ApiError) and error.code == _GONE):
                    self._log(f"discovery: {error}")
                    self._stopped.wait(pauses.next())

    def _follow(self, pauses: Backoff) -> None:
        listed = self._api.request("GET", self._source.path)
        self._replace({_key(one): one for one in listed["items"]})
        version = listed["metadata"]["resourceVersion"]
        pauses.reset()
        while not self._stopped.is_set():
            for what, found in self._api.watch(self._source.path, version, silence=_SILENCE_SECONDS):
                if self._stopped.is_set():
                    return
                version = found["metadata"]["resourceVersion"]
                self._apply(what, found)

    def _replace(self, objects: dict[Key, Object]) -> None:
        with self._lock:
            self._objects = objects
        self._changed()

    def _apply(self, what: str, found: Object) -> None:
        if what == "BOOKMARK":
            return
        with self._lock:
            known = self._objects if self._objects is not None else {}
            if what == "DELETED":
                known.pop(_key(found), None)
            else:
                known[_key(found)] = found
            self._objects = known
        self._changed()


def _key(found: Object) -> Key:
    meta = found["metadata"]
    return meta.get("namespace", ""), meta["name"]
