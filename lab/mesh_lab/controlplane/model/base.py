"""What every Istio resource shares: camelCase names, strict decoding, and types that carry their schema.

The annotated types serve twice: msgspec checks them when a resource is decoded, and `crds` turns them into the schema
that the API server checks before that.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from mesh_lab.controlplane.model.units import DURATION_PATTERN


class Spec(msgspec.Struct, frozen=True, eq=False, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    """A part of a resource. Compared by identity, so that translation can memoise on it."""


Duration = Annotated[str, Meta(pattern=DURATION_PATTERN, description="A duration such as 500ms, 2s or 1m30s.")]
Port = Annotated[int, Meta(ge=1, le=65535)]
UInt32 = Annotated[int, Meta(ge=0, le=4294967295)]
UInt64 = Annotated[int, Meta(ge=0, le=9223372036854775807)]
Int32 = Annotated[int, Meta(ge=-2147483648, le=2147483647)]
Weight = Annotated[int, Meta(ge=0, le=2147483647)]
PercentValue = Annotated[float, Meta(ge=0, le=100)]
WholePercent = Annotated[int, Meta(ge=0, le=100)]
Labels = dict[str, str]

# A name of HTTP, as RFC 9110 has it (token).
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_LONGEST_HEADER = 16384  # Envoy's limit, for names and for values
_GROUP = r"^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
HeaderName = Annotated[str, Meta(pattern=f"^{_TOKEN}$", max_length=_LONGEST_HEADER)]
# Pseudo-headers (`:authority`) are distinguished from others by the rules of each field.
AnyHeaderName = Annotated[str, Meta(pattern=f"^(:?{_TOKEN})?$", max_length=_LONGEST_HEADER)]
MatchedHeaderName = Annotated[str, Meta(pattern=rf"^((:?{_TOKEN})?|@request\.auth\..*)$", max_length=_LONGEST_HEADER)]
HeaderValue = Annotated[str, Meta(max_length=_LONGEST_HEADER)]
QueryName = Annotated[str, Meta(max_length=1024)]
HostName = Annotated[str, Meta(max_length=255)]
NonEmpty = Annotated[str, Meta(min_length=1)]
SubsetName = Annotated[str, Meta(max_length=63)]

JsonObject = dict[str, Any]
"""An object of any form (`google.protobuf.Struct`)."""

FREE_TEXT = {"free": True}
"""Marks text in which line breaks are allowed."""
FreeText = Annotated[str, Meta(extra=FREE_TEXT)]


class Percent(Spec, frozen=True):
    """A share from 0 to 100; 0.1 is one in a thousand. An omitted value is 0, as in Istio."""

    value: PercentValue = 0


class PortSelector(Spec, frozen=True):
    """A port of a service, by number."""

    number: UInt32 = 0


class StringMatch(Spec, frozen=True):
    """Exactly one of the three; `regex` is RE2 and must match the whole value."""

    exact: str | None = None
    prefix: str | None = None
    regex: str | None = None


class WorkloadSelector(Spec, frozen=True):
    """The pods that carry all of these labels, as security.istio.io spells it."""

    match_labels: dict[str, Annotated[str, Meta(max_length=63)]] = {}


class PolicyTargetReference(Spec, frozen=True):
    """What a policy is attached to, instead of a selector."""

    kind: Annotated[str, Meta(min_length=1, max_length=63, pattern=r"^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$")]
    name: Annotated[str, Meta(min_length=1, max_length=253)]
    group: Annotated[str, Meta(max_length=253, pattern=_GROUP)] = ""
    namespace: str = ""


TargetReferences = Annotated[list[PolicyTargetReference], Meta(max_length=16)]


class LabelsSelector(Spec, frozen=True):
    """The pods that carry all of these labels, as networking.istio.io spells it."""

    labels: Annotated[dict[str, Annotated[str, Meta(max_length=63)]], Meta(max_length=256)] = {}
