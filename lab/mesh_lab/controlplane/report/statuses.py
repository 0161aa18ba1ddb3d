"""Statuses and their conditions: read from any writer, where what is not of the expected form is ignored, and made.

Istio's definitions prune what they do not name, such as the `message` of validation messages.
https://istio.io/latest/docs/reference/config/config-status/
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mesh_lab.conditions import TRANSITION

Part = Mapping[str, Any]


@dataclass(frozen=True)
class Status:
    """A status; `observed_generation` is empty where none is given."""

    conditions: tuple[Part, ...]
    messages: tuple[Part, ...]
    observed_generation: str

    def condition(self, kind: str) -> Part | None:
        """The first condition of a type."""
        return next((each for each in self.conditions if each["type"] == kind), None)


def read(status: object) -> Status:
    """The status in any JSON."""
    parts = status if isinstance(status, Mapping) else {}
    observed = parts.get("observedGeneration")
    return Status(
        tuple(each for each in parts_of(parts.get("conditions")) if isinstance(each.get("type"), str)),
        tuple(parts_of(parts.get("validationMessages"))),
        str(observed) if isinstance(observed, int | str) else "",
    )


def timeless(value: Any) -> Any:
    """JSON without the times of conditions, and the generations that they are of: these change by themselves."""
    if isinstance(value, Mapping):
        return {key: timeless(each) for key, each in value.items() if key not in (TRANSITION, "observedGeneration")}
    return [timeless(each) for each in value] if isinstance(value, list) else value


def name_of(message: Part) -> str:
    """The name of a validation message's type, such as ReferencedResourceNotFound; empty where it has none."""
    kind = message.get("type")
    name = kind.get("name") if isinstance(kind, Mapping) else None
    return name if isinstance(name, str) else ""


def text_of(part: Part, field: str) -> str:
    """A field that holds text; empty where it does not."""
    value = part.get(field)
    return value if isinstance(value, str) else ""


def parts_of(value: object) -> list[Part]:
    """The objects in a list; what is not of that form is left out."""
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []
