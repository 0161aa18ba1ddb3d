"""Manifests are applied once, and again only if they, or the objects that were made of them, have changed since.

`kubectl apply` of all of a lab's manifests takes a second of a core, also where there is nothing to change. So it is
written down, beside the lab's state, what was applied and what its objects were like when all was ready. An object is
as it was if it has the same uid, generation, labels and annotations; one of a kind without generations, if it has the
same resourceVersion. https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/object-meta/
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from mesh_lab.client.api import Api, UnknownKindError
from mesh_lab.client.connection import ApiError
from mesh_lab.client.kubectl import Applied, Kubectl

RECORD = "applied.json"
_METADATA_ONLY = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json"


class Seen(msgspec.Struct, frozen=True):
    """An object that was applied, and what it was like when all was ready."""

    api_version: str
    kind: str
    namespace: str
    name: str
    state: str

    @property
    def applied(self) -> Applied:
        """As kubectl names it."""
        return Applied(self.kind, self.namespace, self.name, self.api_version)


class Batch(msgspec.Struct, frozen=True):
    """Manifests that were applied with one command, by a digest of their contents, and their objects."""

    digest: str
    objects: tuple[Seen, ...]


class Applying:
    """Applies batches of manifests. `directory` holds the record of what was applied."""

    def __init__(self, kubectl: Kubectl, api: Api, directory: Path) -> None:
        self._kubectl = kubectl
        self._api = api
        self._file = directory / RECORD
        self._known = _read(self._file)
        self._applied: dict[str, tuple[str, list[Applied]]] = {}

    def apply(self, name: str, files: Sequence[Path]) -> list[Applied]:
        """Apply a batch, unless it and its objects are as they were; return the objects.

        Raises:
            LabError: kubectl failed; the message is its own.
        """
        digest, known = _digest(files), self._known.get(name)
        if known is not None and known.digest == digest and self._unchanged(known):
            return [each.applied for each in known.objects]
        # Whatever comes of it, nothing is known of these objects until `record`.
        if self._known.pop(name, None) is not None:
            self._write()
        applied = self._kubectl.apply(files)
        self._applied[name] = (digest, applied)
        return applied

    def record(self) -> None:
        """Write down what the objects are like now that all is ready. Without a record all is applied again."""
        for name, (digest, applied) in self._applied.items():
            states = self._states({(each.api_version, each.kind) for each in applied})
            seen = (Seen(*_key(each), states.get(_key(each), "")) for each in applied)
            self._known[name] = Batch(digest, tuple(seen))
        if self._applied:
            self._write()
        self._applied.clear()

    def _unchanged(self, known: Batch) -> bool:
        try:
            states = self._states({(each.api_version, each.kind) for each in known.objects})
        except (ApiError, UnknownKindError):
            return False
        return all(each.state and states.get(_key(each.applied)) == each.state for each in known.objects)

    def _states(self, kinds: Iterable[tuple[str, str]]) -> dict[tuple[str, str, str, str], str]:
        found = {}
        for api_version, kind in sorted(kinds):
            listed = self._api.request("GET", self._api.path(api_version, kind), headers={"Accept": _METADATA_ONLY})
            for obj in listed["items"]:
                metadata = obj["metadata"]
                key = (api_version, kind, metadata.get("namespace", ""), metadata["name"])
                found[key] = _state(metadata)
        return found

    def _write(self) -> None:
        with contextlib.suppress(OSError):
            self._file.write_bytes(msgspec.json.encode(self._known))


def _read(file: Path) -> dict[str, Batch]:
    """What was recorded; nothing where there is no record, or another version's."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, Batch])
    except (OSError, msgspec.MsgspecError):
        return {}


def _digest(files: Sequence[Path]) -> str:
    """Of the files' contents, and of those of all files in directories."""
    found = hashlib.sha256()
    for file in files:
        for each in sorted(file.rglob("*.yaml")) if file.is_dir() else [file]:
            content = each.read_bytes()
            found.update(f"{each.name} {len(content)}\n".encode() + content)
    return found.hexdigest()


def _key(applied: Applied) -> tuple[str, str, str, str]:
    return applied.api_version, applied.kind, applied.namespace, applied.name


def _state(metadata: Mapping[str, Any]) -> str:
    version = metadata.get("generation") or metadata["resourceVersion"]
    marks = {name: metadata.get(name) or {} for name in ("labels", "annotations")}
    told = json.dumps([metadata["uid"], version, marks], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()
