"""Splits that are drawn by a header, for the proxies that ask for it and no others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mesh_lab.controlplane.world.proxy import Proxy
from mesh_lab.controlplane.xds import Generator, Resources
from mesh_lab.controlplane.xds.typeurls import RDS
from tests.unit.controlplane.cluster import Cluster, bookinfo
from tests.unit.controlplane.envoy import message, static, validate
from tests.unit.controlplane.xds.translated import CLIENT
from tests.unit.controlplane.xds.virtualservices import reviews, to

SPLIT = {"route": [to(subset="v1", weight=90), to(subset="v2", weight=10)]}


def sent(cluster: Cluster, header: str) -> Resources:
    snapshot = cluster.snapshot()
    proxy = Proxy.of(snapshot.pods["default", CLIENT], metadata={"MESH_LAB_DRAW_HEADER": header} if header else {})
    return Generator().generate(snapshot, proxy)


def drawn(resources: Resources) -> list[str]:
    routes: list[Any] = [r for built in resources[RDS].values() for h in message(built).virtual_hosts for r in h.routes]
    return [r.route.weighted_clusters.header_name for r in routes if r.route.HasField("weighted_clusters")]


def test_a_proxy_that_asks_draws_by_its_header(tmp_path: Path) -> None:
    resources = sent(bookinfo().istio(reviews(SPLIT)), "X-Draw")
    assert drawn(resources) == ["x-draw"]
    validate(static(resources), tmp_path)


@pytest.mark.parametrize("header", ["", "no header", "x:y", "-x"])
def test_others_draw_at_random(header: str) -> None:
    assert drawn(sent(bookinfo().istio(reviews(SPLIT)), header)) == [""]


def test_routes_without_a_split_are_shared_with_those_who_do_not_ask() -> None:
    cluster = bookinfo()
    asked, usual = (sent(cluster, header)[RDS] for header in ("x-draw", ""))
    assert {name: built.version for name, built in asked.items()} == {n: b.version for n, b in usual.items()}
