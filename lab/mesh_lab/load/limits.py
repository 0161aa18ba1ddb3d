"""Limits of a load run: `[ENDPOINT] METRIC<VALUE[UNIT]`, as `p99>250ms`, `/cart errors>1%` or `share(v2)<8%`.

A limit says what breaks it. An endpoint is named as Locust's table has it, with or without its method; without one the
limit is for all requests together.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

METRICS: Mapping[str, tuple[str, str]] = {
    "p50": ("p50_ms", "ms"),
    "p90": ("p90_ms", "ms"),
    "p95": ("p95_ms", "ms"),
    "p99": ("p99_ms", "ms"),
    "max": ("max_ms", "ms"),
    "errors": ("error_ratio", "%"),
    "rps": ("requests_per_second", ""),
    "late": ("late_ratio", "%"),
    "dropped": ("dropped_ratio", "%"),
}
"""By the name in a limit: the figure, and what it is counted in: milliseconds, a ratio, or requests a second."""

DROPPED = "dropped_ratio"
OF_ARRIVALS = frozenset({"late_ratio", DROPPED})
"""Figures that only an open model has, for all endpoints together."""

_SHARE = "share"
_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_UNITS: Mapping[str, Mapping[str, float]] = {"ms": {"ms": 1, "s": 1000}, "%": {"%": 0.01, "": 1}, "": {"": 1}}
_LIMIT = re.compile(
    r"(?:(?P<endpoint>\S.*?)\s+)?(?P<metric>[a-z]+\d*)(?:\((?P<version>[^()]+)\))?\s*"
    r"(?P<sign>[<>]=?)\s*(?P<number>\d+(?:\.\d+)?)(?P<unit>ms|s|%)?"
)
_FORM = "[ENDPOINT ]METRIC>VALUE, as in p99>250ms, '/cart errors>1%', rps<100, 'share(v2)<8%'"


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit: broken where the figure (milliseconds, ratio, requests a second) compares so with `value`."""

    text: str
    figure: str
    sign: str
    value: float
    endpoint: str = ""
    version: str = ""


def parse(text: str) -> Limit:
    """Read a limit.

    Raises:
        ValueError: it is none; the message says what was expected.
    """
    found = _LIMIT.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is not a limit: {_FORM}")
    metric, version = found["metric"], found["version"] or ""
    if (metric == _SHARE) != bool(version) or (metric != _SHARE and metric not in METRICS):
        raise ValueError(f"{text!r}: known metrics are {', '.join(METRICS)}, share(VERSION)")
    if metric == _SHARE and found["endpoint"]:
        raise ValueError(f"{text!r}: versions are counted for all endpoints together")
    figure, counted = METRICS.get(metric, (_SHARE, "%"))
    if figure in OF_ARRIVALS and found["endpoint"]:
        raise ValueError(f"{text!r}: arrivals are counted for all endpoints together")
    unit = found["unit"] or ""
    if unit not in _UNITS[counted]:
        known = " or ".join(each or "none" for each in _UNITS[counted])
        raise ValueError(f"{text!r}: the unit of {metric} is {known}")
    value = float(found["number"]) * _UNITS[counted][unit]
    return Limit(text.strip(), figure, found["sign"], value, found["endpoint"] or "", version)


def broken(limits: Sequence[Limit], figures: Mapping[str, Any]) -> Iterator[str]:
    """What a run's figures break, in words. A limit on an endpoint or version without requests is broken, too."""
    for limit in limits:
        measured = _measured(limit, figures)
        if measured is None:
            what = f"version {limit.version}" if limit.version else f"endpoint {limit.endpoint}"
            known = _versions(figures) if limit.version else [_name(each) for each in figures["endpoints"]]
            yield f"{limit.text}: no request of {what}; there were {', '.join(known) or 'none'}"
        elif _COMPARE[limit.sign](measured, limit.value):
            yield f"{limit.text}: it is {measured:.4g}"


def _measured(limit: Limit, figures: Mapping[str, Any]) -> float | None:
    if limit.figure == _SHARE:
        versions = figures["versions"]
        seen = sum(versions.values())
        return versions.get(limit.version, 0) / seen if limit.version in versions else None
    if not limit.endpoint:
        return float(figures[limit.figure])
    for each in figures["endpoints"]:
        if limit.endpoint in (each["name"], _name(each)) and each["requests"]:
            return float(each[limit.figure])
    return None


def _name(endpoint: Mapping[str, Any]) -> str:
    return f"{endpoint['method']} {endpoint['name']}".strip()


def _versions(figures: Mapping[str, Any]) -> list[str]:
    return sorted(figures["versions"])
