"""Reads: single objects, lists with selectors and pages, watches. All of them see only committed state."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from mesh_lab.kube.changes import Change, Object
from mesh_lab.kube.errors import bad_request
from mesh_lab.kube.registry import metadata
from mesh_lab.kube.registry.kinds import behaviour_of
from mesh_lab.kube.registry.reading import watching
from mesh_lab.kube.registry.reading.watching import Event, Watch
from mesh_lab.kube.registry.syntax import selectors
from mesh_lab.kube.registry.syntax.selectors import FieldSelector
from mesh_lab.kube.registry.table import ResourceTable
from mesh_lab.kube.resources import Resource
from mesh_lab.kube.store import Store

_COMMON = ("metadata.name", "metadata.namespace")
"""The fields that a selector may name of any kind."""


@dataclass(frozen=True)
class Page:
    """Part of a list. `token` continues it, empty at its end; `remaining` is None where selectors hide the number."""

    items: list[Object]
    revision: int
    token: str = ""
    remaining: int | None = None


class _Token(msgspec.Struct, frozen=True):
    revision: int
    namespace: str
    name: str


class Reader:
    """Answers reads from the store, in the version that is asked for."""

    def __init__(self, store: Store, resources: ResourceTable) -> None:
        self._store = store
        self._resources = resources

    def present(self, resource: Resource, obj: Object) -> Object:
        """The object in the version of `resource`: versions of one custom resource share their fields."""
        if obj["apiVersion"] == resource.api_version:
            return obj
        return {**obj, "apiVersion": resource.api_version}

    def find(self, resource: Resource, name: str, namespace: str) -> Object | None:
        """The object, or None."""
        obj = self._store.get(resource.key, namespace, name)
        return None if obj is None else self.present(resource, obj)

    def get(self, resource: Resource, name: str, namespace: str) -> Object:
        """The object; 404 when there is none."""
        obj = self.find(resource, name, namespace)
        if obj is None:
            raise metadata.missing(resource, name)
        return obj

    def list(self, resource: Resource, namespace: str | None, labels: str, fields: str) -> list[Object]:
        """All that the selectors match, by namespace and name."""
        matches = self._matcher(resource, labels, fields)
        found = self._store.objects(resource.key, namespace)
        return [self.present(resource, o) for o in found if matches(o)]

    def page(
        self,
        resource: Resource,
        namespace: str | None,
        *,
        labels: str = "",
        fields: str = "",
        limit: int = 0,
        token: str = "",
        exactly: int | None = None,
    ) -> Page:
        """At most `limit` objects (0: all), as of one revision from the first page to the last.

        Raises:
            ApiError: 400 for a bad selector or token; 410 when that revision is no longer known: list again.
        """
        matches = self._matcher(resource, labels, fields)
        start = _parse_token(token) if token else None
        revision = start.revision if start else exactly
        if revision is None or revision == self._store.revision:
            revision, found = self._store.revision, self._store.objects(resource.key, namespace)
        else:
            found = self._store.objects_at(resource.key, namespace, revision)
        if start:
            found = [o for o in found if _place(o) > (start.namespace, start.name)]
        items = [o for o in found if matches(o)]
        if not limit or len(items) <= limit:
            return Page([self.present(resource, o) for o in items], revision)
        cut = items[:limit]
        mark = _Token(revision, *_place(cut[-1]))
        return Page(
            [self.present(resource, o) for o in cut],
            revision,
            base64.urlsafe_b64encode(msgspec.json.encode(mark)).decode(),
            None if labels or fields else len(items) - limit,
        )

    def watch(
        self, resource: Resource, namespace: str | None, *, since: int | None, labels: str = "", fields: str = ""
    ) -> Watch:
        """Changes after `since`; with None the present objects first, then a bookmark."""
        matches = self._matcher(resource, labels, fields)
        log = self._store.log(resource.key)
        initial: list[Event] = []
        if since is None:
            since = self._store.revision
            present = self._store.objects(resource.key, namespace)
            initial = [Event(watching.ADDED, self.present(resource, o)) for o in present if matches(o)]
            initial.append(watching.bookmark(resource.api_version, resource.kind, since, initial_end=True))
        else:
            self._store.require(since)

        def selects(change: Change) -> bool:
            return namespace is None or change.namespace == namespace

        def present_one(obj: Object) -> Object:
            return self.present(resource, obj)

        return Watch(log, initial, log.position(since), selects, matches, present_one, resource.api_version)

    def _matcher(self, resource: Resource, labels: str, fields: str) -> Callable[[Object], bool]:
        if not labels and not fields:
            return lambda obj: True  # noqa: ARG005
        by_label = selectors.parse_labels(labels)
        by_field = selectors.parse_fields(fields)
        served = self._resources.served(resource)
        read = field_reader(resource, by_field, served.selectable if served else ())

        def matches(obj: Object) -> bool:
            return by_label.matches(obj["metadata"].get("labels") or {}) and by_field.matches(obj, read)

        return matches


def _place(obj: Object) -> tuple[str, str]:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def _parse_token(text: str) -> _Token:
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(text.encode()), type=_Token)
    except (ValueError, msgspec.DecodeError) as error:
        raise bad_request("continue key is not valid: it comes from a list response's metadata.continue") from error


def field_reader(resource: Resource, selector: FieldSelector, more: tuple[str, ...] = ()) -> Callable[[Any, str], str]:
    """How the fields that `selector` names are read off objects of `resource`; `more` are further known fields.

    Raises:
        ApiError: 400, the selector names a field that cannot be selected by.
    """
    labels = {label.name: label for label in behaviour_of(resource).field_labels}
    known = {*_COMMON, *labels, *more}
    for path, _, _ in selector.terms:
        if path not in known:
            raise bad_request(f"field label not supported: {path}")

    def read(obj: Any, path: str) -> str:
        label = labels.get(path)
        return _text(obj, label.path or path, label.absent) if label else _text(obj, path, "")

    return read


def _text(obj: Mapping[str, Any], path: str, absent: str) -> str:
    value: Any = obj
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    if value is None:
        return absent
    return str(value).lower() if isinstance(value, bool) else str(value)
