"""What a client accepts, and in what form its answer therefore comes.

https://kubernetes.io/docs/reference/using-api/api-concepts/#alternate-representations-of-resources
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from mesh_lab.kube.errors import ApiError

JSON = "application/json"
_JSON_RANGES = frozenset({JSON, "application/*", "*/*"})
_META = ("meta.k8s.io", "v1")
_DISCOVERY = ("apidiscovery.k8s.io", "v2")


class Form(Enum):
    """The representations that the server can give."""

    OBJECT = auto()
    TABLE = auto()
    PARTIAL = auto()
    DISCOVERY = auto()


_TRANSFORMS: Mapping[tuple[str, str, str], Form] = {
    ("Table", *_META): Form.TABLE,
    ("PartialObjectMetadata", *_META): Form.PARTIAL,
    ("PartialObjectMetadataList", *_META): Form.PARTIAL,
    ("APIGroupDiscoveryList", *_DISCOVERY): Form.DISCOVERY,
}


@dataclass(frozen=True)
class MediaRange:
    """One clause of an Accept header."""

    type: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    quality: float = 1.0


def ranges(header: str) -> Iterator[MediaRange]:
    """The clauses of an Accept header, as they stand in it; invalid clauses are skipped."""
    for clause in header.split(","):
        media, *rest = (part.strip() for part in clause.split(";"))
        if "/" not in media:
            continue
        pairs = (part.partition("=") for part in rest)
        parameters = {key.strip().lower(): value.strip().strip('"') for key, _, value in pairs}
        try:
            quality = float(parameters.pop("q", "1"))
        except ValueError:
            continue
        yield MediaRange(media.lower(), parameters, quality)


def choose(header: str | None, *offered: Form) -> Form:
    """The form that the client prefers among those `offered` (and the plain object, which always is).

    Raises:
        ApiError: 406, it accepts none of them.
    """
    if not header:
        return Form.OBJECT
    for clause in sorted(ranges(header), key=lambda clause: -clause.quality):
        if clause.quality <= 0 or clause.type not in _JSON_RANGES:
            continue
        wanted = clause.parameters.get("as")
        if wanted is None:
            return Form.OBJECT
        form = _TRANSFORMS.get((wanted, clause.parameters.get("g", ""), clause.parameters.get("v", "")))
        if form in offered:
            return form
    raise ApiError(
        406,
        "NotAcceptable",
        "only the following media types are accepted: application/json, "
        "application/json;as=Table;v=v1;g=meta.k8s.io, application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
    )
