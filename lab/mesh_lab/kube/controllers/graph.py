"""The graph of owners and dependents, and what it means for one object: the pure part of garbage collection.

Source: https://kubernetes.io/docs/concepts/architecture/garbage-collection/ (Owners and dependents, Cascading
deletion).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from mesh_lab.kube.registry.options import Propagation
from mesh_lab.kube.registry.writing.deletion import FOREGROUND, ORPHAN
from mesh_lab.kube.resources import Resource


class Owner(Enum):
    """The state of an owner, as seen from a dependent. `UNKNOWN` (its kind is not served) keeps the dependent alive."""

    THERE = "there"
    GONE = "gone"
    WAITING = "waiting for its dependents to go first"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Reference:
    """An owner reference, reduced to what garbage collection reads."""

    api_version: str
    kind: str
    name: str
    uid: str
    blocks: bool


@dataclass(frozen=True)
class Node:
    """An object, reduced in the same way: two nodes are equal when nothing changed that matters here."""

    resource: Resource
    namespace: str
    name: str
    uid: str
    owners: tuple[Reference, ...] = ()
    deleting: bool = False
    finalizers: frozenset[str] = frozenset()

    @property
    def awaits_dependents(self) -> bool:
        """It is being deleted in the foreground."""
        return self.deleting and FOREGROUND in self.finalizers

    @property
    def frees_dependents(self) -> bool:
        """It is being deleted and leaves its dependents behind."""
        return self.deleting and ORPHAN in self.finalizers


class Graph:
    """All objects by uid, and the dependents of each owner, whether it exists or not."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._dependents: defaultdict[str, set[str]] = defaultdict(set)

    def get(self, uid: str) -> Node | None:
        """The object with this uid, if it is known."""
        return self._nodes.get(uid)

    def put(self, node: Node) -> set[str]:
        """Note an object's present state. Returns the uids to reconcile."""
        before = self._nodes.get(node.uid)
        if before == node:
            return set()
        self._nodes[node.uid] = node
        old = {owner.uid for owner in before.owners} if before else set()
        new = {owner.uid for owner in node.owners}
        self._unlink(node.uid, old - new)
        for uid in new:
            self._dependents[uid].add(node.uid)
        look = {node.uid} if node.owners or node.awaits_dependents or node.frees_dependents else set()
        return look | self._waiting(old | new)

    def remove(self, uid: str) -> set[str]:
        """Note that an object is gone. Returns the uids to reconcile: its dependents, and owners that waited for it."""
        node = self._nodes.pop(uid, None)
        look = set(self._dependents.get(uid, ()))
        if node is not None:
            owners = {owner.uid for owner in node.owners}
            self._unlink(uid, owners)
            look |= self._waiting(owners)
        return look

    def dependents(self, uid: str) -> list[Node]:
        """Return the objects that name this one as an owner."""
        return [self._nodes[each] for each in sorted(self._dependents.get(uid, ()))]

    def of(self, resource: str) -> list[str]:
        """Return the uids of all known objects of a resource, by its key."""
        return [node.uid for node in self._nodes.values() if node.resource.key == resource]

    def _unlink(self, uid: str, owners: Iterable[str]) -> None:
        for owner in owners:
            self._dependents[owner].discard(uid)
            if not self._dependents[owner]:
                del self._dependents[owner]

    def _waiting(self, uids: Iterable[str]) -> set[str]:
        return {uid for uid in uids if (node := self._nodes.get(uid)) and node.deleting}


@dataclass(frozen=True)
class Delete:
    """Delete the object. `unblock`: first clear its blockOwnerDeletion, since it is part of a cycle."""

    propagation: Propagation
    unblock: bool = False


@dataclass(frozen=True)
class Disown:
    """Remove these owners from the object's references."""

    owners: frozenset[str]


@dataclass(frozen=True)
class DropFinalizer:
    """Remove a finalizer from the object; `free` are dependents that lose their reference to it before."""

    finalizer: str
    free: tuple[Node, ...] = ()


@dataclass(frozen=True)
class Requeue:
    """Reconcile other objects."""

    uids: tuple[str, ...]


Action = Delete | Disown | DropFinalizer | Requeue | None


def decide(node: Node, dependents: Iterable[Node], state: Callable[[Reference], Owner]) -> Action:
    """Return what to do about an object; `state` gives the state of an owner. A reference to itself does not count."""
    dependents = [each for each in dependents if each.uid != node.uid]
    if node.frees_dependents:
        return DropFinalizer(ORPHAN, tuple(dependents))
    if node.awaits_dependents:
        return _await_dependents(node, dependents)
    if node.deleting or not node.owners:
        return None
    states = {owner.uid: state(owner) for owner in node.owners}
    lost = frozenset(uid for uid, found in states.items() if found in (Owner.GONE, Owner.WAITING))
    if len(lost) < len(states):
        return Disown(lost) if lost else None
    if Owner.WAITING in states.values() and dependents:
        return Delete(Propagation.FOREGROUND, unblock=any(each.awaits_dependents for each in dependents))
    return Delete(_asked_for(node))


def _await_dependents(node: Node, dependents: list[Node]) -> Action:
    holding = [each for each in dependents if any(owner.uid == node.uid and owner.blocks for owner in each.owners)]
    if not holding:
        return DropFinalizer(FOREGROUND)
    waiting = tuple(each.uid for each in dependents if not each.deleting)
    return Requeue(waiting) if waiting else None


def _asked_for(node: Node) -> Propagation:
    """Return the deletion of dependents that the object's finalizers ask for."""
    if ORPHAN in node.finalizers:
        return Propagation.ORPHAN
    if FOREGROUND in node.finalizers:
        return Propagation.FOREGROUND
    return Propagation.BACKGROUND


def node_of(resource: Resource, obj: dict[str, Any]) -> Node:
    """Return the node of a stored object."""
    metadata = obj["metadata"]
    return Node(
        resource=resource,
        namespace=metadata.get("namespace", ""),
        name=metadata["name"],
        uid=metadata["uid"],
        owners=tuple(
            Reference(each["apiVersion"], each["kind"], each["name"], each["uid"], bool(each.get("blockOwnerDeletion")))
            for each in metadata.get("ownerReferences") or ()
        ),
        deleting=metadata.get("deletionTimestamp") is not None,
        finalizers=frozenset(metadata.get("finalizers") or ()),
    )
