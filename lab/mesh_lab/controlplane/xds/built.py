"""The product of translation: one Envoy resource, serialised once for all proxies."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec

from google.protobuf.any_pb2 import Any as AnyMessage

from mesh_lab.controlplane.world.kubernetes import Origin
from mesh_lab.controlplane.world.snapshot import Table
from mesh_lab.controlplane.xds.memo import memoised
from mesh_lab.controlplane.xds.typeurls import PREFIX

P = ParamSpec("P")

_ONE_RESULT = 4096
"""Bytes that are about what any other result takes in memory."""


@dataclass(frozen=True, eq=False, slots=True)
class Built:
    """One Envoy resource.

    `body` is a serialised `google.protobuf.Any`; `version` is a hash of it, so equal versions are equal resources.
    `origins` are the objects that caused it: a rejection is reported on those. `secrets` are those without which a
    listener does not serve, though Envoy accepts it: it subscribes to them only then.
    """

    name: str
    type_url: str
    version: str
    body: bytes
    origins: tuple[Origin, ...]
    secrets: tuple[str, ...] = ()

    @property
    def memory_weight(self) -> int:
        """As how many results the memory counts it: the routes of a thousand hosts are a megabyte with each change."""
        return 1 + len(self.body) // _ONE_RESULT


def build(type_url: str, name: str, message: bytes, origins: Iterable[Origin], secrets: Iterable[str] = ()) -> Built:
    """Wrap a serialised message of the type that `type_url` names. Origins are kept once each, in order."""
    body = AnyMessage(type_url=type_url, value=message).SerializeToString(deterministic=True)
    version = hashlib.blake2b(body, digest_size=8).hexdigest()
    return Built(name, type_url, version, body, tuple(dict.fromkeys(origins)), tuple(dict.fromkeys(secrets)))


def by_name(function: Callable[P, Iterable[Built]]) -> Callable[P, Table[str, Built]]:
    """The function, with the resources that it yields as a table by their names."""

    @wraps(function)
    def gathered(*inputs: P.args, **named: P.kwargs) -> Table[str, Built]:
        return table_of(function(*inputs, **named))

    return gathered


def table_of(built: Iterable[Built]) -> Table[str, Built]:
    """Resources by their names."""
    return Table({resource.name: resource for resource in built})


@memoised
def joined(shared: Table[str, Built], own: tuple[Built, ...]) -> Table[str, Built]:
    """What many proxies have, and what one has besides.

    It is the same table for the same parts: a proxy's session sees at once that there is nothing new in it.
    """
    return Table({**shared, **table_of(own)})


def wire(message: Any) -> bytes:
    """A protobuf message as bytes, the same for the same content."""
    return bytes(message.SerializeToString(deterministic=True))


def any_of(message: Any) -> AnyMessage:
    """A protobuf message as an `Any`, as Envoy's extension points take it."""
    return AnyMessage(type_url=PREFIX + message.DESCRIPTOR.full_name, value=wire(message))
