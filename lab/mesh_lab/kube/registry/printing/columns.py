"""What a table of one kind is made of: its columns and the cells of one object's row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mesh_lab.kube.registry.printing.durations import since

NONE = "<none>"
Cell = str | int | float | bool | None
Cells = list[Cell]


@dataclass(frozen=True)
class Column:
    """One column; kubectl shows those of a `priority` above 0 only with `-o wide`."""

    name: str
    type: str = "string"
    priority: int = 0
    format: str = ""
    description: str = ""

    def definition(self) -> dict[str, Any]:
        """The JSON of `meta.k8s.io/v1 TableColumnDefinition`."""
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description or self.name,
            "priority": self.priority,
        }


@dataclass(frozen=True)
class Printer:
    """How one kind is shown. `row` gets the object and the present time."""

    columns: tuple[Column, ...]
    row: Callable[[Mapping[str, Any], datetime], Cells]
    finished: Callable[[Mapping[str, Any]], bool] = lambda _: False
    """Whether the object is of no more interest (kubectl dims nothing today, but the condition is part of the API)."""


NAME = Column("Name", format="name", description="Name must be unique within a namespace.")
AGE = Column("Age", description="How long ago the object was made.")
CREATED = Column("Created At", "date", description="When the object was made.")


def wide(*names: str) -> tuple[Column, ...]:
    """Columns that only `-o wide` shows."""
    return tuple(Column(name, priority=1) for name in names)


def name(obj: Mapping[str, Any]) -> str:
    """The object's name."""
    return str(obj["metadata"].get("name", ""))


def age(obj: Mapping[str, Any], now: datetime) -> str:
    """How long ago the object was made."""
    return since(obj["metadata"].get("creationTimestamp"), now)


def part(obj: Mapping[str, Any], *path: str) -> dict[str, Any]:
    """The object's part at `path`, empty when something on the way is missing."""
    here: Any = obj
    for key in path:
        here = here.get(key) or {}
    return dict(here)


def items(obj: Mapping[str, Any], *path: str) -> list[Any]:
    """The list at `path`, empty when something on the way is missing."""
    return list(part(obj, *path[:-1]).get(path[-1]) or [])


def joined(parts: Sequence[str], separator: str = ",") -> str:
    """The parts in a row, or `<none>`."""
    return separator.join(parts) or NONE


def labels_text(labels: Mapping[str, str] | None) -> str:
    """`a=b,c=d`, sorted, or `<none>`."""
    return joined([f"{key}={value}" for key, value in sorted((labels or {}).items())])


def selector_text(selector: Mapping[str, Any] | None) -> str:
    """A label selector the way `kubectl get -o wide` words it: `a=b,c in (d,e),!f`."""
    if not selector:
        return NONE
    parts = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    for rule in selector.get("matchExpressions") or []:
        key, values = rule["key"], ",".join(sorted(rule.get("values") or []))
        words = {"In": f"{key} in ({values})", "NotIn": f"{key} notin ({values})", "Exists": key}
        parts.append(words.get(rule["operator"], f"!{key}"))
    return joined(parts)


PLAIN = Printer((NAME, AGE), lambda obj, now: [name(obj), age(obj, now)])
"""Name and age: for a kind that says nothing else."""
NAME_AND_CREATION = Printer((NAME, CREATED), lambda obj, _: [name(obj), obj["metadata"].get("creationTimestamp", "")])
