"""10,000 routes of each kind that chance makes up: no fault, nothing that Envoy refuses, statuses that are true."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mesh_lab.controlplane.report.gatewayroutes import routes_are_accepted
from mesh_lab.controlplane.world.gatewayapi import GATEWAY
from mesh_lab.controlplane.xds import Generator, Resources
from mesh_lab.controlplane.xds.gatewayapi.statuses import Key, Release, statuses
from mesh_lab.controlplane.xds.typeurls import EDS, LDS
from tests.unit.controlplane.cluster import Cluster
from tests.unit.controlplane.envoy import message, static, validate
from tests.unit.controlplane.xds.gatewayapi.generated import ENTRIES, Chance, service_entry
from tests.unit.controlplane.xds.gatewayapi.objects import POD, edge
from tests.unit.controlplane.xds.gatewayapi.test_connections import secret

KINDS = ("HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute")
BATCHES, OF_EACH = 20, 500
SIDECAR = "productpage-v1-abc-1"
RELEASE = Release("v1.6.3", "experimental")
Object = dict[str, Any]


def cluster_of(seed: int, directory: Path) -> Cluster:
    """A Gateway, two ListenerSets, and so many routes of each kind."""
    chance = Chance(seed)
    cluster = edge(chance.gateway()).add("Secret", secret(directory))
    cluster.add("ServiceEntry", *(service_entry(name) for name in ENTRIES))
    cluster.add("ListenerSet", *(chance.listener_set(name) for name in ("more", "most")))
    for kind in KINDS:
        cluster.add(kind, *(chance.of_kind(kind, f"{kind.lower()}-{index}") for index in range(OF_EACH)))
    return cluster


def test_as_many_are_made_as_is_said() -> None:
    assert BATCHES * OF_EACH >= 10_000


@pytest.mark.parametrize("seed", range(BATCHES))
def test_generated_routes(seed: int, tmp_path: Path) -> None:
    cluster, generator = cluster_of(seed, tmp_path), Generator()
    snapshot = cluster.snapshot()
    at_gateway = generator.generate(snapshot, cluster.proxy(POD, kind="router"))
    in_mesh = generator.generate(snapshot, cluster.proxy(SIDECAR))
    for made in (at_gateway, in_mesh):
        validate(static({**made, EDS: {}}), tmp_path)
    with generator.remembering():
        stated = statuses(snapshot, RELEASE)
        findings = list(routes_are_accepted(snapshot))
    sent = {"Gateway": origins_of(at_gateway), "mesh": origins_of(in_mesh)}
    refused_at_a_parent = {finding.origin.key for finding in findings if finding.severity == "error"}
    for key, parent in parents(stated):
        verdict = accepted(parent)
        where = "mesh" if is_in_mesh(parent) else "Gateway"
        if not verdict:
            assert tuple(key) in refused_at_a_parent, (key, parent)
        if not any(accepted(each) for each in at(stated, key, where)):
            assert tuple(key) not in sent[where], (key, parent)
    assert served(cluster, stated) <= {
        message(built).address.socket_address.port_value for built in at_gateway[LDS].values()
    }


def test_what_is_said_is_the_same_with_the_memory_of_an_earlier_snapshot(tmp_path: Path) -> None:
    cluster, generator = cluster_of(BATCHES, tmp_path), Generator()
    with generator.remembering():
        statuses(cluster.snapshot(), RELEASE)
    cluster.add(GATEWAY, Chance(BATCHES + 1).gateway())
    with generator.remembering():
        remembered = statuses(cluster.snapshot(), RELEASE)
    assert remembered == statuses(cluster.snapshot(), RELEASE)


def origins_of(resources: Resources) -> set[tuple[str, str, str]]:
    """The objects that a proxy's resources are made of."""
    return {origin.key for some in resources.values() for built in some.values() for origin in built.origins}


def parents(stated: dict[Key, Object]) -> Iterator[tuple[Key, Object]]:
    return ((key, each) for key, status in stated.items() for each in status.get("parents", ()))


def at(stated: dict[Key, Object], key: Key, where: str) -> Iterator[Object]:
    return (each for each in stated[key]["parents"] if is_in_mesh(each) == (where == "mesh"))


def is_in_mesh(parent: Object) -> bool:
    return parent["parentRef"]["kind"] in ("Service", "ServiceEntry")


def accepted(parent: Object) -> bool:
    return any(each["type"] == "Accepted" and each["status"] == "True" for each in parent["conditions"])


def served(cluster: Cluster, stated: dict[Key, Object]) -> set[int]:
    """The ports whose listeners say that they are programmed, and have routes."""
    found = set()
    for (kind, namespace, name), status in stated.items():
        if kind not in (GATEWAY, "ListenerSet"):
            continue
        listeners = cluster.snapshot().gatewayapi[kind][namespace, name].raw["listeners"]
        for written, each in zip(listeners, status.get("listeners", ()), strict=False):
            programmed = any(c["type"] == "Programmed" and c["status"] == "True" for c in each["conditions"])
            if programmed and each["attachedRoutes"]:
                found.add(written["port"])
    return found
