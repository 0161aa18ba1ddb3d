"""Rules of ConfigMaps and Secrets."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping

from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import Cause
from mesh_lab.kube.registry.names import config_key_problem
from mesh_lab.kube.registry.rules.causes import forbidden, immutable, invalid, required, too_long

_LIMIT = 1024 * 1024
_NEEDED_KEYS: Mapping[str, tuple[str, ...]] = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}
_BASIC_AUTH, _BASIC_AUTH_KEYS = "kubernetes.io/basic-auth", ("username", "password")
_TOKEN, _TOKEN_OWNER = "kubernetes.io/service-account-token", "kubernetes.io/service-account.name"


def check_config_map(config_map: Object) -> Iterator[Cause]:
    """Everything that is wrong with a ConfigMap."""
    data, binary = config_map.get("data") or {}, config_map.get("binaryData") or {}
    yield from _check_keys(data, "data")
    yield from _check_keys(binary, "binaryData")
    for key in data.keys() & binary.keys():
        yield invalid(f"data[{key}]", key, "duplicate of key present in binaryData")
    if sum(len(v.encode()) for v in data.values()) + _decoded_size(binary) > _LIMIT:
        yield too_long("", _LIMIT)


def check_config_map_update(new: Object, old: Object) -> Iterator[Cause]:
    """One that is marked immutable stays."""
    yield from _check_immutable(new, old, ("data", "binaryData"))


def check_secret(secret: Object) -> Iterator[Cause]:
    """Everything that is wrong with a Secret."""
    data = secret.get("data") or {}
    yield from _check_keys(data, "data")
    if _decoded_size(data) > _LIMIT:
        yield too_long("data", _LIMIT)
    for key in _NEEDED_KEYS.get(secret.get("type", ""), ()):
        if key not in data:
            yield required(f"data[{key}]")
    if secret.get("type") == _BASIC_AUTH and not any(key in data for key in _BASIC_AUTH_KEYS):
        for key in _BASIC_AUTH_KEYS:
            yield required(f"data[{key}]")
    if secret.get("type") == _TOKEN and not (secret["metadata"].get("annotations") or {}).get(_TOKEN_OWNER):
        yield required(f"metadata.annotations[{_TOKEN_OWNER}]")


def check_secret_update(new: Object, old: Object) -> Iterator[Cause]:
    """The type stays, and so does all of one that is marked immutable."""
    yield from immutable("type", new.get("type"), old.get("type"))
    yield from _check_immutable(new, old, ("data",))


def _check_keys(data: Iterable[str], path: str) -> Iterator[Cause]:
    for key in data:
        if problem := config_key_problem(key):
            yield invalid(f"{path}[{key}]", key, problem)


def _decoded_size(data: Mapping[str, str]) -> int:
    return sum(len(base64.b64decode(value)) for value in data.values())


def _check_immutable(new: Object, old: Object, fields: tuple[str, ...]) -> Iterator[Cause]:
    if not old.get("immutable"):
        return
    if not new.get("immutable"):
        yield forbidden("immutable", "field is immutable when `immutable` is set")
    for field in fields:
        if new.get(field) != old.get(field):
            yield forbidden(field, "field is immutable when `immutable` is set")
