"""The owners of an object's fields through writes that do not apply.

Owners are kept from the creation of an object on; one that has none (it was made by an older lab, or made to forget
them) gets none until the first apply. Entries are changed as they stand in `metadata.managedFields`, as trees,
and only where a write concerns them: most writes are those of controllers, again and again to the same fields.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import orjson

from mesh_lab.kube.registry.ownership import differences
from mesh_lab.kube.registry.ownership.fieldsets import FieldSetError, Tree
from mesh_lab.kube.registry.ownership.managers import (
    MOST_UPDATERS,
    Manager,
    capped,
    decode,
    encode,
    entry,
    in_order,
)
from mesh_lab.kube.schemas import Schema

Entries = list[dict[str, Any]]

_RESET: Entries = [{}]
"""What a client sends to make an object forget its owners: an empty list is what those send that know of none."""
_STATUS = frozenset({"status"})


def created(schema: Schema, new: dict[str, Any], manager: Manager, now: str, *, has_status: bool) -> Entries:
    """`metadata.managedFields` of an object that `manager` creates.

    Where the status is written by a way of its own (`has_status`), what was sent of it counts for nothing.
    """
    fields = differences.fields_of(schema, new, _STATUS if has_status else frozenset())
    return [entry(manager, _shared(fields), manager.api_version, now)] if fields else []


def tracked(
    schema: Schema, old: dict[str, Any], new: dict[str, Any], given: Entries | None, manager: Manager, now: str
) -> Entries:
    """`metadata.managedFields` after `manager` made `new` of `old`.

    `given` is what it sent of them, for it may edit them as well (but not by way of a subresource).
    """
    present: Entries = old["metadata"].get("managedFields") or []
    if manager.subresource or not given or given is present:
        entries = present
    elif given == _RESET:
        return []
    else:
        entries = present if given == present else _readable(given) or present
    if not entries:
        return []
    changed, removed = differences.between(schema, old, new)
    if not changed and not removed:
        return entries
    return _taken(entries, manager, changed, removed, now)


def _taken(entries: Entries, manager: Manager, changed: Tree, removed: Tree, now: str) -> Entries:
    """The entries after `manager` changed and removed fields: what it changed is then owned by no other manager."""
    kept: Entries = []
    gone = differences.union(changed, removed)
    found = False
    for one in entries:
        present: Tree = one.get("fieldsV1") or {}
        if changed and _is(one, manager):
            found = True
            fields = differences.union(differences.without(present, removed), changed)
            kept.append({**one, "time": now, "fieldsV1": fields if fields is present else _shared(fields)})
            continue
        rest = differences.without(present, gone)
        if rest is present:
            kept.append(one)
        elif rest:
            kept.append({**one, "fieldsV1": _shared(rest)})
    if changed and not found:
        kept.append(entry(manager, _shared(changed), manager.api_version, now))
    if len(kept) > MOST_UPDATERS:
        return encode(capped(decode(kept)))
    return in_order(kept)


def _is(one: dict[str, Any], manager: Manager) -> bool:
    """Whether an entry is of an update, and not of an apply."""
    return (one["operation"], one.get("manager", ""), one.get("apiVersion", ""), one.get("subresource", "")) == (
        manager.operation,
        manager.name,
        manager.api_version,
        manager.subresource,
    )


class _Shared:
    """Trees that came before, by their text: pods of one template have one tree between them."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, Tree] = OrderedDict()

    def __call__(self, tree: Tree) -> Tree:
        try:
            text = orjson.dumps(tree)
        except orjson.JSONEncodeError:
            return tree  # too deep to be stored, which the store says
        if len(text) > _SHARED_BYTES:
            return tree
        known = self._known.setdefault(text, tree)
        self._known.move_to_end(text)
        if len(self._known) > _SHARED_TREES:
            self._known.popitem(last=False)
        return known


_SHARED_TREES, _SHARED_BYTES = 256, 8192
"""How many trees are known again, and how large: a pod's is half of that."""
_shared = _Shared()


def _readable(entries: Entries) -> Entries:
    """The entries as they are kept, or none when they are malformed."""
    try:
        return encode(decode(entries))
    except FieldSetError:
        return []
