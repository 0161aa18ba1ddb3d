"""What a test may claim to show: a feature, over a protocol, by a kind of resource.

Features are anybody's (`group/name`); protocols and resources are those that a mesh has, so that two runs mean the
same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mesh_lab.meshkinds import CONSUL, GATEWAY_API, ISTIO

NO_RESOURCE = "none"

PROTOCOLS: Mapping[str, str] = {"http1": "HTTP/1.1", "http2": "HTTP/2", "grpc": "gRPC", "tcp": "TCP"}
"""By the word of a marker: the protocol's name."""

APIS: Mapping[str, str] = {
    NO_RESOURCE: "no resource",
    **{kind.name.lower(): kind.name for kind in (*ISTIO, *GATEWAY_API, *CONSUL)},
}
"""By the word of a marker: the kind of the resource that a feature is written in."""

_FEATURE = re.compile(r"[a-z][a-z0-9-]*/[a-z][a-z0-9-]*")
_FIELDS = ("protocol", "api")


@dataclass(frozen=True, slots=True, order=True)
class Case:
    """A feature over a protocol, written as a kind of resource."""

    feature: str
    protocol: str
    api: str

    def __str__(self) -> str:
        return f"{self.feature} over {PROTOCOLS[self.protocol]} by {APIS[self.api]}"


def claimed(positional: Sequence[object], named: Mapping[str, object], parameters: Mapping[str, object]) -> Case:
    """The case that a marker claims; what it leaves out, the parameters of its test say.

    Raises:
        ValueError: with the field that is wrong, and what it may be.
    """
    if len(positional) != 1 or not isinstance(positional[0], str) or not _FEATURE.fullmatch(positional[0]):
        raise ValueError(f"{_shown(positional)} is no feature: write one, as 'traffic/split'")
    if strange := sorted(named.keys() - set(_FIELDS)):
        raise ValueError(f"unknown argument {strange[0]!r}; known are {', '.join(_FIELDS)}")
    protocol = _one_of("protocol", PROTOCOLS, named, parameters)
    return Case(positional[0], protocol, _one_of("api", APIS, named, parameters))


def _one_of(field: str, known: Mapping[str, str], named: Mapping[str, object], parameters: Mapping[str, object]) -> str:
    value = named.get(field, parameters.get(field))
    if value is None:
        raise ValueError(f"no {field}: the marker says it, or a parameter of that name does")
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"unknown {field} {value!r}; known are {', '.join(known)}")
    return value


def _shown(positional: Sequence[object]) -> str:
    return ", ".join(map(repr, positional)) or "nothing"
