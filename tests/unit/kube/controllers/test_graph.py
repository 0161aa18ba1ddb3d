"""What garbage collection decides, and where it comes to rest on any graph of owners."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh_lab.kube.controllers.graph import (
    Delete,
    Disown,
    DropFinalizer,
    Graph,
    Node,
    Owner,
    Reference,
    Requeue,
    decide,
)
from mesh_lab.kube.registry.options import Propagation
from mesh_lab.kube.registry.writing.deletion import FOREGROUND, ORPHAN
from mesh_lab.kube.resources import CONFIGMAPS

OF = {Propagation.FOREGROUND: FOREGROUND, Propagation.ORPHAN: ORPHAN}


def node(uid: str, *owners: str, blocks: bool = True, deleting: bool = False, finalizers: tuple[str, ...] = ()) -> Node:
    references = tuple(Reference("v1", "ConfigMap", each, each, blocks) for each in owners)
    return Node(CONFIGMAPS, "default", uid, uid, references, deleting, frozenset(finalizers))


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ({"a": Owner.THERE}, None),
        ({"a": Owner.UNKNOWN}, None),
        ({"a": Owner.GONE}, Delete(Propagation.BACKGROUND)),
        ({"a": Owner.THERE, "b": Owner.GONE}, Disown(frozenset("b"))),
        ({"a": Owner.UNKNOWN, "b": Owner.WAITING}, Disown(frozenset("b"))),
        ({"a": Owner.WAITING}, Delete(Propagation.FOREGROUND)),
    ],
)
def test_an_object_stays_while_one_of_its_owners_exists(states: dict[str, Owner], expected: object) -> None:
    dependent = node("x", *states)
    assert decide(dependent, [node("y", "x")], lambda owner: states[owner.uid]) == expected


def test_a_dependent_without_dependents_of_its_own_goes_in_the_background() -> None:
    assert decide(node("x", "a"), [], lambda _: Owner.WAITING) == Delete(Propagation.BACKGROUND)


def test_foreground_waits_only_for_those_that_block() -> None:
    owner = node("a", deleting=True, finalizers=(FOREGROUND,))
    assert decide(owner, [node("x", "a")], lambda _: Owner.THERE) == Requeue(("x",))
    assert decide(owner, [node("x", "a", blocks=False)], lambda _: Owner.THERE) == DropFinalizer(FOREGROUND)
    assert decide(owner, [node("x", "a", deleting=True)], lambda _: Owner.THERE) is None


def test_owner_references_of_orphans_are_removed_before_the_owner() -> None:
    dependents = [node("x", "a")]
    owner = node("a", deleting=True, finalizers=(ORPHAN,))
    assert decide(owner, dependents, lambda _: Owner.THERE) == DropFinalizer(ORPHAN, tuple(dependents))


class World:
    """A store reduced to what garbage collection touches, with the collector run on it to the end."""

    def __init__(self, nodes: list[Node]) -> None:
        self.nodes = {each.uid: each for each in nodes}
        self.graph = Graph()
        self.queue: list[str] = []
        for each in nodes:
            self.put(each)

    def put(self, each: Node) -> None:
        self.nodes[each.uid] = each
        if each.deleting and not each.finalizers:
            del self.nodes[each.uid]
            self.queue += sorted(self.graph.remove(each.uid))
        else:
            self.queue += sorted(self.graph.put(each))

    def delete(self, uid: str, propagation: Propagation) -> None:
        each = self.nodes[uid]
        finalizers = each.finalizers - set(OF.values()) | ({OF[propagation]} if propagation in OF else set())
        self.put(replace(each, deleting=True, finalizers=frozenset(finalizers)))

    def state(self, owner: Reference) -> Owner:
        found = self.nodes.get(owner.uid)
        if found is None:
            return Owner.GONE
        return Owner.WAITING if found.awaits_dependents else Owner.THERE

    def run(self, order: st.DataObject) -> None:
        steps = 0
        while self.queue:
            steps += 1
            assert steps < 5000, "garbage collection does not come to rest"
            index = order.draw(st.integers(0, len(self.queue) - 1)) if steps < 40 else 0
            self.look(self.queue.pop(index))

    def look(self, uid: str) -> None:
        each = self.nodes.get(uid)
        if each is None:
            return
        match decide(each, self.graph.dependents(uid), self.state):
            case Delete(propagation, unblock):
                if unblock:
                    self.put(replace(each, owners=tuple(replace(owner, blocks=False) for owner in each.owners)))
                self.delete(uid, propagation)
            case Disown(owners):
                self.disown(each, owners)
            case DropFinalizer(finalizer, free):
                for dependent in free:
                    self.disown(self.nodes[dependent.uid], frozenset({uid}))
                each = self.nodes[uid]
                self.put(replace(each, finalizers=each.finalizers - {finalizer}))
            case Requeue(uids):
                self.queue += uids
            case None:
                pass

    def disown(self, each: Node, owners: frozenset[str]) -> None:
        self.put(replace(each, owners=tuple(owner for owner in each.owners if owner.uid not in owners)))


@st.composite
def graphs(draw: st.DrawFn) -> list[Node]:
    """Any graph of owners: chains, shared dependents, circles, owners that never were."""
    count = draw(st.integers(1, 8))
    uids = [f"n{number}" for number in range(count)]
    return [
        node(
            uid,
            *draw(st.lists(st.sampled_from([*uids, "absent"]), max_size=3, unique=True)),
            blocks=draw(st.booleans()),
        )
        for uid in uids
    ]


def kept(nodes: list[Node], deleted: str, propagation: Propagation) -> set[str]:
    """What has to be left in the end, by the rule in the documentation rather than by how it is carried out.

    Everything goes that was deleted, or all of whose owners are gone; orphaning takes the owner out of its dependents
    first, and an object without owners is no garbage.
    """
    owners = {each.uid: {owner.uid for owner in each.owners} for each in nodes}
    if propagation is Propagation.ORPHAN:
        for uid in owners:
            if deleted in owners[uid]:
                owners[uid] -= {deleted}
    alive = set(owners) - {deleted}
    while True:
        doomed = {uid for uid in alive if owners[uid] and not owners[uid] & alive}
        if not doomed:
            return alive
        alive -= doomed


@settings(max_examples=400, deadline=None)
@given(nodes=graphs(), propagation=st.sampled_from(Propagation), order=st.data())
def test_garbage_collection_leaves_what_has_an_owner(
    nodes: list[Node], propagation: Propagation, order: st.DataObject
) -> None:
    world = World(nodes)
    world.run(order)
    before = kept(nodes, "", Propagation.BACKGROUND)
    assert set(world.nodes) == before, "owners that never were"
    if not before:
        return
    deleted = order.draw(st.sampled_from(sorted(before)))
    left = list(world.nodes.values())
    world.delete(deleted, propagation)
    world.run(order)
    expected = kept(left, deleted, propagation)
    assert set(world.nodes) == expected
    assert not any(each.deleting for each in world.nodes.values())
    for each in world.nodes.values():
        assert all(owner.uid in expected for owner in each.owners), "a reference to an owner that is gone"


@settings(max_examples=100, deadline=None)
@given(length=st.integers(1, 8), order=st.data())
def test_in_the_foreground_dependents_go_before_their_owner(length: int, order: st.DataObject) -> None:
    world = World([node("n0"), *(node(f"n{n}", f"n{n - 1}") for n in range(1, length))])
    world.delete("n0", Propagation.FOREGROUND)
    gone: list[str] = []
    while world.queue:
        present = set(world.nodes)
        world.look(world.queue.pop(order.draw(st.integers(0, len(world.queue) - 1))))
        gone += sorted(present - set(world.nodes))
    assert gone == [f"n{n}" for n in reversed(range(length))]
