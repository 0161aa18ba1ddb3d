"""What the groups of paths share."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from mesh_lab.apps.samples.httpbin.forms import Form

MAX_SECONDS = 10.0
MAX_BYTES = 1024 * 1024

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s|us)?")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "": 1.0}


class BadRequestError(Exception):
    """A request that cannot be answered as asked; the message says why."""


@dataclass(frozen=True)
class Context:
    """The form of the answers, and the pod's environment."""

    form: Form
    environment: Mapping[str, str]


def whole(text: str, what: str, low: int, high: int) -> int:
    """A whole number within bounds.

    Raises:
        BadRequestError: it is none.
    """
    try:
        number = int(text)
    except ValueError:
        raise BadRequestError(f"invalid {what}: {text!r} is not a whole number") from None
    if not low <= number <= high:
        raise BadRequestError(f"invalid {what}: {number} not in range [{low}, {high}]")
    return number


def seconds(text: str, *, capped: bool) -> float:
    """A duration such as `2`, `0.5` or `300ms`. What exceeds ten seconds is refused, or taken as ten.

    Raises:
        BadRequestError: it is none, or too long.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise BadRequestError(f"invalid duration: {text!r}")
    given = float(match[1]) * _UNITS[match[2] or ""]
    if given > MAX_SECONDS and not capped:
        raise BadRequestError(f"invalid duration: {text} longer than {MAX_SECONDS:g}s")
    return min(given, MAX_SECONDS)
