"""The operations on lists of filters and routes: add, insert, replace, remove."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mesh_lab.controlplane.xds.patches.patch import Patch

Matches = Callable[[Any], bool]


def change(items: Any, patch: Patch, matches: Matches, *, named: bool) -> bool:
    """Change a list by one patch; whether that did anything.

    `named` says that the patch names a member. One that names none inserts at the start or the end, and neither
    replaces nor removes: so it is in Istio.
    """
    match patch.operation:
        case "ADD":
            items.append(patch.value)
        case "INSERT_FIRST":
            items.insert(0, patch.value)
        case "INSERT_AFTER" | "INSERT_BEFORE":
            return _insert(items, patch, matches, named=named)
        case "REPLACE":
            return named and _replace(items, patch, matches)
        case "REMOVE":
            return named and remove(items, matches)
        case _:
            return False
    return True


def _insert(items: Any, patch: Patch, matches: Matches, *, named: bool) -> bool:
    after = patch.operation == "INSERT_AFTER"
    if not named:
        items.insert(len(items) if after else 0, patch.value)
        return True
    place = next((index for index, item in enumerate(items) if matches(item)), None)
    if place is None:
        return False
    items.insert(place + after, patch.value)
    return True


def _replace(items: Any, patch: Patch, matches: Matches) -> bool:
    """The first that matches."""
    for item in items:
        if matches(item):
            item.CopyFrom(patch.value)
            return True
    return False


def remove(items: Any, matches: Matches) -> bool:
    """Remove all that match; whether there were any."""
    kept = [item for item in items if not matches(item)]
    if len(kept) == len(items):
        return False
    keep(items, kept)
    return True


def keep(items: Any, kept: list[Any]) -> None:
    """Keep of a list these only."""
    copies = [type(item).FromString(item.SerializeToString()) for item in kept]
    del items[:]
    items.extend(copies)
