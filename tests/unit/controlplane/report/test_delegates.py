"""Findings on VirtualServices that delegate."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_lab.controlplane.report.analysis import analyse
from tests.unit.controlplane.cluster import bookinfo, config

TO: dict[str, Any] = {"route": [{"destination": {"host": "reviews.default.svc.cluster.local"}}]}


@pytest.mark.parametrize(
    ("delegate", "said"),
    [
        ({"http": [TO]}, ""),
        (None, 'Referenced delegate virtual service not found: "shop/part"'),
        (
            {"http": [TO], "exportTo": ["."]},
            'Referenced delegate virtual service not found: "shop/part" (its exportTo does not name default)',
        ),
        (
            {"http": [TO], "hosts": ["other.example.com"]},
            'Referenced delegate virtual service not found: "shop/part" (it has hosts, and so is no delegate)',
        ),
    ],
)
def test_a_delegate_must_be_there(delegate: dict[str, Any] | None, said: str) -> None:
    over = {"delegate": {"name": "part", "namespace": "shop"}}
    cluster = bookinfo().istio(config("VirtualService", "root", {"hosts": ["reviews"], "http": [over, TO]}))
    if delegate is not None:
        cluster.istio(config("VirtualService", "part", delegate, namespace="shop"))
    found = [each for each in analyse(cluster.snapshot()) if each.origin.kind == "VirtualService"]
    assert [each.message for each in found] == ([said] if said else [])
    assert all((each.code, each.path) == ("IST0101", "spec.http[0].delegate") for each in found)
