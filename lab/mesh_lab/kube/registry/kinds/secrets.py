"""Secrets."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import Cause
from mesh_lab.kube.registry.behaviour import READ, WRITE, Behaviour, FieldLabel, Grant
from mesh_lab.kube.registry.printing.columns import AGE, NAME, Cells, Column, Printer, age, name, part
from mesh_lab.kube.registry.rules.causes import immutable, required, too_long
from mesh_lab.kube.registry.rules.data import LIMIT_BYTES, check_immutable, check_keys, decoded_size
from mesh_lab.kube.resources import SECRETS

_NEEDED_KEYS: Mapping[str, tuple[str, ...]] = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}
_BASIC_AUTH, _BASIC_AUTH_KEYS = "kubernetes.io/basic-auth", ("username", "password")
_TOKEN, _TOKEN_OWNER = "kubernetes.io/service-account-token", "kubernetes.io/service-account.name"


def _fill_defaults(secret: Object) -> None:
    """`stringData` is a way to write `data`, and is never read back."""
    secret["type"] = secret.get("type") or "Opaque"
    plain = secret.pop("stringData", None)
    if plain:
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in plain.items()}
        secret["data"] = {**(secret.get("data") or {}), **encoded}


def _check(secret: Object) -> Iterator[Cause]:
    """Everything that is wrong with a Secret."""
    data = secret.get("data") or {}
    yield from check_keys(data, "data")
    if decoded_size(data) > LIMIT_BYTES:
        yield too_long("data", LIMIT_BYTES)
    for key in _NEEDED_KEYS.get(secret.get("type", ""), ()):
        if key not in data:
            yield required(f"data[{key}]")
    if secret.get("type") == _BASIC_AUTH and not any(key in data for key in _BASIC_AUTH_KEYS):
        for key in _BASIC_AUTH_KEYS:
            yield required(f"data[{key}]")
    if secret.get("type") == _TOKEN and not (secret["metadata"].get("annotations") or {}).get(_TOKEN_OWNER):
        yield required(f"metadata.annotations[{_TOKEN_OWNER}]")


def _check_update(new: Object, old: Object) -> Iterator[Cause]:
    """The type stays, and so does all of one that is marked immutable."""
    yield from immutable("type", new.get("type"), old.get("type"))
    yield from check_immutable(new, old, ("data",))


def _row(obj: Mapping[str, Any], now: datetime) -> Cells:
    return [name(obj), obj.get("type", ""), len(part(obj, "data")), age(obj, now)]


BEHAVIOUR = Behaviour(
    SECRETS,
    fill_defaults=_fill_defaults,
    check=_check,
    check_update=_check_update,
    field_labels=(FieldLabel("type"),),
    grants=(Grant("edit", READ), Grant("edit", WRITE)),
    printer=Printer((NAME, Column("Type"), Column("Data", description="How many entries there are."), AGE), _row),
    zero_counts=frozenset({"immutable"}),
)
