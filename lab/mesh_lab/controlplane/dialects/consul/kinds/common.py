"""What several of Consul's kinds share."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from mesh_lab.controlplane.model.base import HeaderName, HeaderValue, JsonObject, Spec, UInt32

Method = Annotated[str, Meta(min_length=1, max_length=64)]
MeshGatewayMode = str


class HTTPHeaderModifiers(Spec, frozen=True):
    """Headers that are added, set and removed."""

    add: dict[HeaderName, HeaderValue] = {}
    set: dict[HeaderName, HeaderValue] = {}
    remove: list[HeaderName] = []


class HeaderMatch(Spec, frozen=True):
    """A condition on a header: at most one of the tests; `invert` turns it round."""

    name: HeaderName
    present: bool = False
    exact: str = ""
    prefix: str = ""
    suffix: str = ""
    regex: str = ""
    invert: bool = False


class MeshGateway(Spec, frozen=True):
    """Whether calls to other datacenters pass a mesh gateway."""

    mode: MeshGatewayMode = ""


class Expose(Spec, frozen=True):
    """Paths that are served without mutual TLS."""

    checks: bool = False
    paths: list[JsonObject] = []


class TransparentProxy(Spec, frozen=True):
    """How outgoing connections are redirected."""

    outbound_listener_port: UInt32 = 0
    dialed_directly: bool = False


class EnvoyExtension(Spec, frozen=True):
    """Something that Consul would add to Envoy's configuration."""

    name: str = ""
    required: bool = False
    arguments: JsonObject | None = None
    consul_version: str = ""
    envoy_version: str = ""


class PrioritizeByLocality(Spec, frozen=True):
    """Whether near instances come first."""

    mode: str = ""


class FailoverPolicy(Spec, frozen=True):
    """In which order the targets of a failover are tried."""

    mode: str = ""
    regions: list[str] = []
