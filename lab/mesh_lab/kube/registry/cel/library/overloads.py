"""What a function of CEL is declared as, without any library of CEL."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

LISTS = "list(dyn)"
SCALARS = ("int", "uint", "double", "bool", "string", "bytes", "timestamp", "duration")


class Opaque(NamedTuple):
    """A value of one of Kubernetes' types, such as `kubernetes.Quantity`. Equal values have equal texts."""

    type: str
    text: str


@dataclass(frozen=True)
class Overload:
    """One way to call a function.

    Types are written as CEL's messages name them: `string`, `list(int)`, `kubernetes.Quantity`. `call` gets Python's
    values (timestamps and durations as `datetime` and `timedelta`, Kubernetes' own types as `Opaque`); what it raises
    is the error of the expression. A member's first parameter is what it is called on.
    """

    name: str
    parameters: tuple[str, ...]
    result: str
    call: Callable[..., Any]
    member: bool = True
