"""Entries of `status.conditions`: find, set, and keep their transition times.

https://github.com/kubernetes/community/blob/master/contributors/devel/sig-architecture/api-conventions.md#typical-status-properties
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mesh_lab.rfc3339 import timestamp

Condition = dict[str, Any]
Conditions = Iterable[Mapping[str, Any]]
TRANSITION = "lastTransitionTime"


def find(conditions: Conditions | None, kind: str) -> Mapping[str, Any]:
    """Return the condition of a type; empty when there is none."""
    return next((each for each in conditions or () if each.get("type") == kind), {})


def holds(conditions: Conditions | None, kind: str) -> bool:
    """Return whether there is a condition of the type, and its status is True."""
    return find(conditions, kind).get("status") == "True"


def condition(
    before: Conditions | None, kind: str, status: str, reason: str = "", message: str = "", *, now: str = ""
) -> Condition:
    """Return a condition whose `lastTransitionTime` is that of the one in `before` while the status stays, else `now`.

    Reason and message are left out when they are empty; `now` is the present by default.
    """
    old = find(before, kind)
    since = old.get(TRANSITION) if old.get("status") == status else None
    made = {
        "type": kind,
        "status": status,
        TRANSITION: since if since and isinstance(since, str) else now or timestamp(),
    }
    return made | ({"reason": reason} if reason else {}) | ({"message": message} if message else {})


def updated(before: Conditions | None, *conditions: Condition) -> list[Condition]:
    """Return `before` with these conditions in place of those of the same types; they come last."""
    return [*others(before, *(each["type"] for each in conditions)), *conditions]


def others(before: Conditions | None, *kinds: str) -> list[Condition]:
    """Return the conditions of other types than these."""
    return [dict(each) for each in before or () if each.get("type") not in kinds]
