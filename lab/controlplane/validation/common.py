"""What the rules of all kinds share: how a problem is told, and checks of single values."""

from __future__ import annotations

import ipaddress
import re
import warnings
from collections.abc import Iterator
from typing import NamedTuple

from lab.controlplane.findings import Severity
from lab.controlplane.model.units import nanoseconds

_MILLISECOND = 1_000_000
_HOST = re.compile(
    r"^(\*|(\*\.)?[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?)$"
)
_NOT_RE2 = re.compile(r"\(\?(=|!|<=|<!|\()|(?<!\\)\\[1-9]|(?<!\\)[*+?}]\+")
# Classes of Unicode and POSIX, flags in the middle: valid RE2 that Python does not read.
_ONLY_RE2 = re.compile(r"\\[pP](\{\^?\w+\}|\w)|\[:\^?\w+:\]|\\[zC]|\(\?[imsU]+(-[imsU]+)?\)")


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


def host_name(path: str, host: str) -> Iterator[Problem]:
    """A host, or a wildcard for all that end alike."""
    if not _HOST.match(host):
        yield error(
            path, f'domain name "{host}" invalid: letters, digits and dashes between dots, and a leading "*." at most'
        )


def regex(path: str, pattern: str) -> Iterator[Problem]:
    """Envoy's expressions are RE2, which Python's resemble: what either lacks is told apart before Python judges."""
    if _NOT_RE2.search(pattern):
        yield error(
            path, f"invalid regex {pattern!r}: RE2 knows no look-around, no back-reference and no possessive quantifier"
        )
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            re.compile(_ONLY_RE2.sub(lambda found: "(?:)" if found[0].startswith("(") else "a", pattern))
        except re.error as failure:
            yield error(path, f"invalid regex {pattern!r}: {failure}")


def cidr(path: str, value: str) -> Iterator[Problem]:
    """An address or a range of addresses."""
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
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
    if not (value.isdigit() and 1 <= int(value) <= 65535):
        yield error(path, f'invalid port "{value}": a number from 1 to 65535')


def camel(name: str) -> str:
    """A field's name as users write it."""
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)
