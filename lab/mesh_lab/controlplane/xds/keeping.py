"""What is made anew and is as before stays the same object, since translation memoises on identity.

A dialect's objects are read together: a new Secret may change what any Gateway is. So all is read again with each
change around them, and compared here, resource by resource.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from mesh_lab.controlplane.model.base import Spec
from mesh_lab.controlplane.world.kubernetes import ObjectKey
from mesh_lab.controlplane.world.snapshot import Config, Table
from mesh_lab.controlplane.xds.memo import memoised

S = TypeVar("S", bound=Spec)


class _Aside(Generic[S]):
    """A configuration that is passed along, and is no part of the memory's key."""

    def __init__(self, config: Config[S]) -> None:
        self.config = config

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Aside)

    def __hash__(self) -> int:
        return 0


class _Content(NamedTuple):
    """All by which two configurations differ."""

    key: ObjectKey
    created: str
    origins: tuple[Any, ...]
    kind: str
    spec: bytes


def table(configs: Iterable[Config[S]]) -> Table[ObjectKey, Config[S]]:
    """The configurations by namespace and name: the former objects, and the former table, where nothing differs."""
    return _table(tuple(map(_as_before, configs)))


@memoised
def _as_before(config: Config[S]) -> Config[S]:
    return _kept(_content(config), _Aside(config))


def _content(config: Config[S]) -> _Content:
    spec = msgspec.msgpack.encode(config.spec)
    return _Content((config.namespace, config.name), config.created, config.origins, type(config.spec).__name__, spec)


@memoised
def _kept(_content: _Content, aside: _Aside[S]) -> Config[S]:
    return aside.config


@memoised
def _table(configs: tuple[Config[S], ...]) -> Table[ObjectKey, Config[S]]:
    return Table({(config.namespace, config.name): config for config in configs})
