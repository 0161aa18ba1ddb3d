"""What is said in Envoy's discovery protocol, and what is remembered of it, as plain values.

https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from mesh_lab.controlplane.world.kubernetes import Origin


class Resource(Protocol):
    """A resource as it is sent; equal versions mean equal bytes."""

    @property
    def name(self) -> str:
        """The name, unique within its type."""

    @property
    def version(self) -> str:
        """A hash of the bytes."""

    @property
    def body(self) -> bytes:
        """The serialised `google.protobuf.Any`."""

    @property
    def origins(self) -> tuple[Origin, ...]:
        """The objects that it was made from."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """The secrets that a listener needs before it serves."""


Desired = Mapping[str, Mapping[str, Resource]]


class Held(NamedTuple):
    """What the client has: `origins` is None where the version is known only from the client's first request."""

    version: str
    origins: tuple[Origin, ...] | None


class Exchange(NamedTuple):
    """How far a client is with a type that it has subscribed to: nonces, and Envoy's words for what it rejects.

    `sent_at` is the time of the last response, in seconds since the epoch; `names` is what it has subscribed to by
    name; `synced`, whether it lacks nothing.
    """

    sent: str
    acked: str
    sent_at: float
    error: str
    names: tuple[str, ...]
    synced: bool


class Rejection(NamedTuple):
    """A version that the client rejected (NACK), and its words."""

    resource: Resource
    message: str
    suspects: tuple[Origin, ...]


@dataclass(frozen=True)
class Request:
    """A DeltaDiscoveryRequest's content."""

    type_url: str
    nonce: str = ""
    error: str | None = None
    subscribe: tuple[str, ...] = ()
    unsubscribe: tuple[str, ...] = ()
    initial_versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Response:
    """A DeltaDiscoveryResponse's content. `snapshot` is the one that it was generated from."""

    type_url: str
    nonce: str
    resources: tuple[Resource, ...]
    removed: tuple[str, ...]
    snapshot: int


ABSENT = Held("", ())
"""The client knows that there is no such resource."""
