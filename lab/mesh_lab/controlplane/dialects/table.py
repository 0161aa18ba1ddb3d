"""The table of dialects: what the mesh understands, by the names that `[mesh] dialects` has.

A further dialect is its plain facts in `meshkinds`, a folder beside this file, and a line here. Translation knows none
of them: it reads Istio's types (`model`), and what a dialect's `read` makes of its own kinds in these types.

Istio's kinds are the model itself. The Gateway API's are read by `xds.gatewayapi`, whose listeners are servers of
gateways as well, and have statuses with an entry for each controller (`report.gatewaystatuses`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mesh_lab.controlplane.dialects.consul import findings, kinds, reading, statuses
from mesh_lab.controlplane.dialects.consul.checks import problems
from mesh_lab.controlplane.model.base import Spec
from mesh_lab.controlplane.validation.common import Problem
from mesh_lab.controlplane.world.findings import Finding
from mesh_lab.controlplane.world.snapshot import Reading, Snapshot
from mesh_lab.meshkinds import CONSUL, GATEWAY_API, ISTIO, MeshKind

Object = dict[str, Any]


def _nothing(_snapshot: Snapshot) -> Reading:
    return Reading()


def _no_findings(_snapshot: Snapshot) -> Iterable[Finding]:
    return ()


def _no_statuses(_snapshot: Snapshot) -> Mapping[tuple[str, str, str], Object]:
    return {}


def _not_written(_present: Mapping[str, Any], _wanted: Object | None, _now: str) -> Object | None:
    return None


def _no_problems(_name: str, _spec: Spec) -> tuple[Problem, ...]:
    return ()


@dataclass(frozen=True)
class Dialect:
    """One vocabulary.

    `facts` are the kinds' names and versions, `kinds` their types, of those that `read` takes. `check` has the problems
    of an object by its name and spec, `findings` what the rest of the cluster shows of it. `statuses` are what a
    snapshot says of each object (kind, namespace, name), without times; `written` is what has to be written of one:
    None where the present status says the same.
    """

    name: str
    facts: tuple[MeshKind, ...]
    kinds: Mapping[str, type[Spec]] = field(default_factory=dict)
    read: Callable[[Snapshot], Reading] = _nothing
    check: Callable[[str, Spec], tuple[Problem, ...]] = _no_problems
    findings: Callable[[Snapshot], Iterable[Finding]] = _no_findings
    statuses: Callable[[Snapshot], Mapping[tuple[str, str, str], Object]] = _no_statuses
    written: Callable[[Mapping[str, Any], Object | None, str], Object | None] = _not_written


_CONSUL = Dialect(
    "consul",
    CONSUL,
    {name: getattr(kinds, name) for name in kinds.__all__},
    reading.read,
    problems,
    findings.findings,
    statuses.statuses,
    statuses.written,
)

DIALECTS: Mapping[str, Dialect] = {
    "istio": Dialect("istio", ISTIO),
    "gateway": Dialect("gateway", GATEWAY_API),
    "consul": _CONSUL,
}
"""All dialects, by name."""


def chosen(names: Iterable[str]) -> tuple[Dialect, ...]:
    """The dialects of these names that are read by way of this table."""
    return tuple(DIALECTS[name] for name in names if DIALECTS[name].kinds)


def owner(group: str, kind: str) -> Dialect | None:
    """The dialect that a kind is read by."""
    return next(
        (each for each in DIALECTS.values() if kind in each.kinds and any(f.group == group for f in each.facts)), None
    )


def all_findings(snapshot: Snapshot) -> Iterator[Finding]:
    """What all dialects find."""
    for dialect in DIALECTS.values():
        yield from dialect.findings(snapshot)
