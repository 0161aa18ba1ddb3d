"""How a route's object states the weights of its destinations: one way for each kind, found in a table.

Only the weights of the two versions change. All else of the object stays as its owner wrote it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from mesh_lab.client.objects import Object
from mesh_lab.errors import LabError

Entry = Object
Group = list[Entry]


class NoSuchArm(LabError):  # noqa: N818 - what the route lacks
    """The route has no place for the weights; the message says what it has."""


class Target(NamedTuple):
    """Where a destination leads: a host as the route has it, its namespace where the route names one, and a subset."""

    host: str
    namespace: str = ""
    subset: str = ""


@dataclass(frozen=True, slots=True)
class Form:
    """A kind of route: its groups of destinations among which requests are shared out, and the names of one.

    `weight` is that of a destination which states none; `target` tells where one leads, if that can be told.
    """

    groups: Callable[[Object], Iterator[Group]]
    names: Callable[[Entry], Iterator[str]]
    target: Callable[[Entry], Target | None]
    place: str
    weight: int


def _virtual_service(spec: Object) -> Iterator[Group]:
    for rule in spec.get("http") or ():
        if rule.get("route"):
            yield rule["route"]


def _names_of_destination(entry: Entry) -> Iterator[str]:
    destination = entry.get("destination") or {}
    yield from (str(destination[field]) for field in ("subset", "host") if destination.get(field))


def _target_of_destination(entry: Entry) -> Target:
    destination = entry.get("destination") or {}
    return Target(str(destination.get("host", "")), subset=str(destination.get("subset", "")))


def _rules(spec: Object) -> Iterator[Group]:
    for rule in spec.get("rules") or ():
        if rule.get("backendRefs"):
            yield rule["backendRefs"]


def _name_of_backend(entry: Entry) -> Iterator[str]:
    yield str(entry.get("name", ""))


def _target_of_backend(entry: Entry) -> Target | None:
    if entry.get("kind", "Service") != "Service":
        return None
    return Target(str(entry.get("name", "")), str(entry.get("namespace", "")))


def _splits(spec: Object) -> Iterator[Group]:
    if spec.get("splits"):
        yield spec["splits"]


def _names_of_split(entry: Entry) -> Iterator[str]:
    yield from (str(entry[field]) for field in ("serviceSubset", "service") if entry.get(field))


def _target_unknown(_: Entry) -> None:
    """Which pods a subset of Consul's has, a filter of its ServiceResolver says: it is not read here."""


_RULES = Form(_rules, _name_of_backend, _target_of_backend, "spec.rules[].backendRefs[]", weight=1)
FORMS: Mapping[str, Form] = {
    "VirtualService": Form(
        _virtual_service, _names_of_destination, _target_of_destination, "spec.http[].route[]", weight=0
    ),
    "HTTPRoute": _RULES,
    "GRPCRoute": _RULES,
    "ServiceSplitter": Form(_splits, _names_of_split, _target_unknown, "spec.splits[]", weight=0),
}


def weighted(route: Object, stable: str, canary: str, weight: float) -> Object:
    """The route's spec with `weight` percent for the canary and the rest for the stable version.

    That is so in each of its rules that lead to both.

    Raises:
        NoSuchArm: no rule does, or one gives a third destination requests as well.
    """
    form = FORMS[route["kind"]]
    spec: Object = copy.deepcopy(route["spec"])
    found = [group for group in form.groups(spec) if _arm(form, group, stable) and _arm(form, group, canary)]
    if not found:
        raise NoSuchArm(_without_both(form, route, stable, canary))
    for group in found:
        ours = {id(_arm(form, group, name)): share for name, share in ((stable, 100 - weight), (canary, weight))}
        for entry in group:
            if id(entry) in ours:
                entry["weight"] = int(ours[id(entry)])
            elif entry.get("weight", form.weight):
                name = next(form.names(entry), "?")
                raise NoSuchArm(
                    f"{_named(route)}: {name} gets requests as well; a rollout is between {stable} and {canary}",
                    hint=f"Give it the weight 0 at {form.place}.weight, or take it out.",
                )
    return spec


def shares(route: Object, stable: str, canary: str) -> list[float]:
    """The canary's part of the requests (percent) in each rule that leads to both; 0 where nobody gets any."""
    form = FORMS[route["kind"]]
    found = []
    for group in form.groups(route["spec"]):
        arm = _arm(form, group, canary)
        if arm is not None and _arm(form, group, stable) is not None:
            total = sum(float(entry.get("weight", form.weight)) for entry in group)
            found.append(100 * float(arm.get("weight", form.weight)) / (total or 1))
    return found


def targets(route: Object, arm: str) -> set[Target]:
    """Where the destinations of a version lead; none for a kind of route of which that cannot be told."""
    form = FORMS[route["kind"]]
    entries = (_arm(form, group, arm) for group in form.groups(route["spec"]))
    return {target for entry in entries if entry is not None and (target := form.target(entry)) is not None}


def _arm(form: Form, group: Group, name: str) -> Entry | None:
    return next((entry for entry in group if name in form.names(entry)), None)


def _without_both(form: Form, route: Object, stable: str, canary: str) -> str:
    names = [" and ".join("/".join(form.names(entry)) for entry in group) for group in form.groups(route["spec"])]
    has = "; ".join(names) or "none"
    return f"{_named(route)}: no rule of {form.place} leads to both {stable} and {canary}; the destinations are: {has}"


def _named(route: Object) -> str:
    meta = route["metadata"]
    return f"{route['kind']} {meta.get('namespace', 'default')}/{meta['name']}"
