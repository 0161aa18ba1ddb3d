"""ConfigMaps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import Cause
from mesh_lab.kube.registry.behaviour import READ, WRITE, Behaviour, Grant
from mesh_lab.kube.registry.printing.columns import AGE, NAME, Cells, Column, Printer, age, name, part
from mesh_lab.kube.registry.rules.causes import invalid, too_long
from mesh_lab.kube.registry.rules.data import LIMIT_BYTES, check_immutable, check_keys, decoded_size
from mesh_lab.kube.resources import CONFIGMAPS


def _check(config_map: Object) -> Iterator[Cause]:
    """Everything that is wrong with a ConfigMap."""
    data, binary = config_map.get("data") or {}, config_map.get("binaryData") or {}
    yield from check_keys(data, "data")
    yield from check_keys(binary, "binaryData")
    for key in data.keys() & binary.keys():
        yield invalid(f"data[{key}]", key, "duplicate of key present in binaryData")
    if sum(len(v.encode()) for v in data.values()) + decoded_size(binary) > LIMIT_BYTES:
        yield too_long("", LIMIT_BYTES)


def _check_update(new: Object, old: Object) -> Iterator[Cause]:
    """One that is marked immutable stays."""
    yield from check_immutable(new, old, ("data", "binaryData"))


def _row(obj: Mapping[str, Any], now: datetime) -> Cells:
    return [name(obj), len(part(obj, "data")) + len(part(obj, "binaryData")), age(obj, now)]


BEHAVIOUR = Behaviour(
    CONFIGMAPS,
    check=_check,
    check_update=_check_update,
    grants=(Grant("view", READ), Grant("edit", WRITE)),
    printer=Printer((NAME, Column("Data", description="How many entries there are."), AGE), _row),
    zero_counts=frozenset({"immutable"}),
)
