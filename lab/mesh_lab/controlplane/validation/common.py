"""What the rules of all kinds share: the form of a problem, and checks of single values."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Literal, NamedTuple

from mesh_lab.controlplane.model.base import WorkloadSelector
from mesh_lab.controlplane.model.units import nanoseconds

Severity = Literal["error", "warning", "info"]

MOST_PROGRAM = 32768
"""Istio's limit for the size of an expression's program, also in the bootstrap (`re2.max_program_size.error_level`)."""

_MILLISECOND = 1_000_000
_NOT_RE2 = re.compile(r"\(\?(=|!|<=|<!|\()|(?<!\\)\\[1-9]|(?<!\\)[*+?}]\+")
_SHOWN = 80  # characters of an expression
_PORT = re.compile(r"[0-9]{1,5}")
_BITS = re.compile(r"0|[1-9][0-9]{0,2}")


class Problem(NamedTuple):
    """What is wrong with a field of a spec. `path` starts at `spec`."""

    severity: Severity
    path: str
    message: str


def error(path: str, message: str) -> Problem:
    """A problem that keeps the resource from being translated."""
    return Problem("error", path, message)


def warning(path: str, message: str) -> Problem:
    """Something that is probably not meant."""
    return Problem("warning", path, message)


def duration(path: str, text: str | None, *, zero: bool = False) -> Iterator[Problem]:
    """A duration is of 1 ms at least; or of none, where that means that there is no limit."""
    if text is None:
        return
    length = nanoseconds(text)
    if length < _MILLISECOND and not (zero and length == 0):
        yield error(path, "duration must be greater than 1ms")
    elif length % _MILLISECOND:
        yield error(path, "only durations to ms precision are supported")


def regex(path: str, pattern: str) -> Iterator[Problem]:
    """An expression that Envoy takes. RE2 judges it, as it does there: byte by byte, and of a size that is allowed."""
    complaint = _complaint(pattern)
    if complaint:
        shown = repr(pattern) if len(pattern) <= _SHOWN else f"{pattern[:_SHOWN]!r}..."
        yield error(path, f"invalid regex {shown}: {complaint}")


@lru_cache(maxsize=4096)
def _complaint(pattern: str) -> str:
    """What is wrong with an expression, or nothing; cached, since each snapshot judges the same ones again."""
    import re2  # when there is something to judge: istiod starts without it

    options = re2.Options()
    options.log_errors = False
    options.encoding = re2.Options.Encoding.LATIN1
    try:
        size: int = re2.compile(pattern.encode(errors="replace"), options).programsize
    except re2.error as failure:
        reason = b"".join(failure.args).decode(errors="replace")[:_SHOWN]
        hint = "; RE2 knows no look-around, no back-reference and no possessive quantifier"
        return f"{reason}{hint if _NOT_RE2.search(pattern) else ''}"
    return "" if size <= MOST_PROGRAM else f"its program has {size} steps, of {MOST_PROGRAM} at most"


def cidr(path: str, value: str) -> Iterator[Problem]:
    """An address or a range of addresses, as Go reads them: the range as a number of bits, and no zone."""
    address, slash, bits = value.partition("/")
    try:
        ipaddress.ip_network(value, strict=False)
        understood = "%" not in address and (not slash or _BITS.fullmatch(bits))
    except ValueError:
        understood = False
    if not understood:
        yield error(path, f'"{value}" is neither an IP address nor a CIDR range')


def ip_address(path: str, value: str) -> Iterator[Problem]:
    """One address, without a zone."""
    try:
        understood = "%" not in value and bool(ipaddress.ip_address(value))
    except ValueError:
        understood = False
    if not understood:
        yield error(path, f"{value[:100]!r} is not an IP address")


def port_number(path: str, value: str) -> Iterator[Problem]:
    """The number of a port, as text."""
    if not is_port(value):
        yield error(path, f'invalid port "{value}": a number from 1 to 65535')


def is_port(value: str) -> bool:
    """Whether a text is the number of a port."""
    return _PORT.fullmatch(value) is not None and 1 <= int(value) <= 65535


def workload_selector(selector: WorkloadSelector | None) -> Iterator[Problem]:
    """The labels by which a resource selects pods."""
    for key, value in (selector.match_labels if selector is not None else {}).items():
        if not key or "*" in key + value:
            yield error("spec.selector.matchLabels", f'wildcard or empty key in selector: "{key}={value}"')
    if selector is not None and not selector.match_labels:
        yield warning("spec.selector", "workload selector specified without labels")


def camel(name: str) -> str:
    """A field's name as users write it."""
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)
