"""Rules and matches of a VirtualService that no request can reach, since an earlier one takes them all.

Istio's `analyzeUnreachableHTTPRules` finds equal matches and prefixes under prefixes; here a match is also found to be
covered by an earlier one that demands less, such as `prefix: /`.
https://istio.io/latest/docs/reference/config/analysis/ist0130/, .../ist0131/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from mesh_lab.controlplane.model import VirtualService
from mesh_lab.controlplane.model.base import Spec, StringMatch
from mesh_lab.controlplane.model.virtualservice import HTTPMatchRequest
from mesh_lab.controlplane.world.findings import Finding
from mesh_lab.controlplane.world.snapshot import Config, Snapshot

_UNREACHABLE, _INEFFECTIVE = "IST0130", "IST0131"
# These fields of a match do not limit which requests it takes.
_NAMES = frozenset({"name", "stat_prefix"})


def unreachable_rules(snapshot: Snapshot) -> Iterator[Finding]:
    """Findings on the rules of all VirtualServices."""
    for config in snapshot.of(VirtualService).values():
        for kind, rules in (("http", config.spec.http), ("tls", config.spec.tls), ("tcp", config.spec.tcp)):
            yield from _rules(config, f"spec.{kind}", rules)


class _Earlier(NamedTuple):
    """An earlier match, and its rule."""

    rule: str
    match: Any


def _rules(config: Config[Any], path: str, rules: Sequence[Any]) -> Iterator[Finding]:
    earlier: list[_Earlier] = []
    catch_all = False
    for number, rule in enumerate(rules):
        name, place = getattr(rule, "name", "") or f"#{number}", f"{path}[{number}]"
        if catch_all:
            reason = "route without matches defined before" if rule.match else "only the last rule can have no matches"
            yield _unused(config, place, name, reason)
            continue
        if getattr(rule, "delegate", None) is not None:
            continue  # It takes what the rules of its delegate match.
        if not rule.match:
            catch_all = True
            continue
        taken = 0
        for index, match in enumerate(rule.match):
            by = next((one for one in earlier if _covers(one.match, match)), None)
            if by is None:
                earlier.append(_Earlier(name, match))
                continue
            taken += 1
            text = (
                f"VirtualService rule {name} match {match_name(match, index)} is not used (duplicate/overlapping match "
                f"in rule {by.rule})."
            )
            yield Finding("info", _INEFFECTIVE, text, f"{place}.match[{index}]", config.origin)
        if taken == len(rule.match):
            yield _unused(config, place, name, "all matches used by prior rules")


def match_name(match: Any, index: int) -> str:
    """The name of a match in messages: its own, or its index."""
    return getattr(match, "name", "") or f"#{index}"


def _unused(config: Config[Any], path: str, name: str, reason: str) -> Finding:
    return Finding("warning", _UNREACHABLE, f"VirtualService rule {name} not used ({reason}).", path, config.origin)


def _covers(one: Any, other: Any) -> bool:
    """Whether a match takes every request that the other takes: no field demands more."""
    if not isinstance(one, HTTPMatchRequest):
        return bool(_plain(one) == _plain(other))
    return all(
        _field_covers(field, getattr(one, field), getattr(other, field), one, other)
        for field in HTTPMatchRequest.__struct_fields__
        if field not in _NAMES
    )


def _field_covers(field: str, one: Any, other: Any, match: HTTPMatchRequest, against: HTTPMatchRequest) -> bool:
    if field == "ignore_uri_case":
        # One that looks at the case takes fewer than one that does not, unless its path has no case.
        return bool(match.ignore_uri_case or not against.ignore_uri_case or match.uri is None or _is_any(match.uri))
    if field == "gateways":
        return not one or (bool(other) and set(other) <= set(one))
    if isinstance(one, StringMatch) or isinstance(other, StringMatch):
        return _string_covers(one, other, is_path=field == "uri")
    if isinstance(one, Mapping):
        return all(_entry_covers(value, other.get(key)) for key, value in one.items())
    return not one or one == other


def _entry_covers(one: Any, other: Any) -> bool:
    if other is None:
        return False
    return one == other if isinstance(one, str) else _plain(one) == _plain(other) or _string_covers(one, other)


def _string_covers(one: StringMatch | None, other: StringMatch | None, *, is_path: bool = False) -> bool:
    if one is None or (is_path and _is_any(one)):
        return True
    if other is None:
        return False
    if one.prefix is not None and (inner := other.prefix if other.prefix is not None else other.exact) is not None:
        return inner.startswith(one.prefix)
    return bool(_plain(one) == _plain(other))


def _is_any(path: StringMatch) -> bool:
    """Whether it takes every path: all of them begin with a slash."""
    return path.prefix == "/"


def _plain(spec: Spec) -> Any:
    """A spec as plain values, which compare by content."""
    return {key: value for key, value in msgspec.to_builtins(spec).items() if key not in ("name", "statPrefix")}
