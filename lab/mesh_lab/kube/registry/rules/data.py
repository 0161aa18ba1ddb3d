"""Rules that ConfigMaps and Secrets share."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping

from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import Cause
from mesh_lab.kube.registry.rules.causes import forbidden, invalid
from mesh_lab.kube.registry.syntax.names import config_key_problem

LIMIT_BYTES = 1024 * 1024


def check_keys(data: Iterable[str], path: str) -> Iterator[Cause]:
    """Keys can be names of files."""
    for key in data:
        if problem := config_key_problem(key):
            yield invalid(f"{path}[{key}]", key, problem)


def decoded_size(data: Mapping[str, str]) -> int:
    """Bytes of values that are written in base64."""
    return sum(len(base64.b64decode(value)) for value in data.values())


def check_immutable(new: Object, old: Object, fields: tuple[str, ...]) -> Iterator[Cause]:
    """The data of an object that is marked immutable stays."""
    if not old.get("immutable"):
        return
    if not new.get("immutable"):
        yield forbidden("immutable", "field is immutable when `immutable` is set")
    for field in fields:
        if new.get(field) != old.get(field):
            yield forbidden(field, "field is immutable when `immutable` is set")
