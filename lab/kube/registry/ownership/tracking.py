"""The owners of an object's fields through writes that do not apply.

Owners are kept of objects that were applied to at least once; all others have none, and cost nothing.
"""

from __future__ import annotations

from typing import Any

from lab.kube.registry.ownership.applying import update
from lab.kube.registry.ownership.fieldsets import FieldSetError
from lab.kube.registry.ownership.managers import Managed, Manager, decode, encode
from lab.kube.schemas import Schema

Entries = list[dict[str, Any]]

_RESET: Entries = [{}]
"""What a client sends to make an object forget its owners: an empty list is what those send that know of none."""


def tracked(
    schema: Schema, old: dict[str, Any], new: dict[str, Any], given: Entries | None, manager: Manager, now: str
) -> Entries:
    """`metadata.managedFields` after `manager` made `new` of `old`. `given` is what it sent of them, for it may edit
    them as well (but not by way of a subresource).
    """
    present: Entries = old["metadata"].get("managedFields") or []
    if manager.subresource or not given:
        given = present
    if given == _RESET:
        return []
    managed = _readable(given) or _readable(present)
    if not managed:
        return []
    after = update(managed, schema, old, new, manager, now)
    return present if after is managed and given == present else encode(after)


def _readable(entries: Entries) -> Managed:
    """The owners, or none when they are malformed."""
    try:
        return decode(entries)
    except FieldSetError:
        return {}
