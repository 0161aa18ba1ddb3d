"""Weights in each kind of route: only they change."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh_lab.rollout.routes import FORMS, NoSuchArm, Target, shares, targets, weighted

OTHER = {"match": [{"uri": {"prefix": "/static"}}], "route": [{"destination": {"host": "assets"}}]}


def destination(subset: str, weight: int | None = None) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "destination": {"host": "shop", "subset": subset},
        "headers": {"request": {"set": {"a": "b"}}},
    }
    return entry if weight is None else {**entry, "weight": weight}


ROUTES: dict[str, dict[str, Any]] = {
    "VirtualService": {"hosts": ["shop"], "http": [OTHER, {"route": [destination("v1", 100), destination("v2", 0)]}]},
    "HTTPRoute": {"rules": [{"backendRefs": [{"name": "v1", "port": 80}, {"name": "v2", "port": 80, "weight": 0}]}]},
    "GRPCRoute": {"rules": [{"backendRefs": [{"name": "v1", "port": 80, "weight": 1}, {"name": "v2", "weight": 0}]}]},
    "ServiceSplitter": {"splits": [{"weight": 100, "serviceSubset": "v1"}, {"weight": 0, "serviceSubset": "v2"}]},
}


def route(kind: str, spec: dict[str, Any] | None = None) -> dict[str, Any]:
    meta = {"name": "shop", "namespace": "market"}
    return {"kind": kind, "metadata": meta, "spec": copy.deepcopy(ROUTES[kind] if spec is None else spec)}


def without_weights(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_weights(below) for name, below in value.items() if name != "weight"}
    return [without_weights(below) for below in value] if isinstance(value, list) else value


@pytest.mark.parametrize("kind", FORMS)
@given(weight=st.integers(0, 100))
def test_the_weights_add_up_and_nothing_else_changes(kind: str, weight: int) -> None:
    found = route(kind)
    changed = {**found, "spec": weighted(found, "v1", "v2", float(weight))}
    assert found == route(kind), "what was read stays as it was"
    assert without_weights(changed["spec"]) == without_weights(found["spec"])
    assert shares(changed, "v1", "v2") == [weight]
    (group,) = [group for group in FORMS[kind].groups(changed["spec"]) if len(group) == 2]
    assert [entry["weight"] for entry in group] == [100 - weight, weight]


def test_versions_may_be_services_of_their_own() -> None:
    spec = {
        "http": [
            {"route": [{"destination": {"host": "shop-blue"}}, {"destination": {"host": "shop-green"}, "weight": 0}]}
        ]
    }
    made = weighted(route("VirtualService", spec), "shop-blue", "shop-green", 30)
    assert [entry["weight"] for entry in made["http"][0]["route"]] == [70, 30]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"http": [OTHER]}, "no rule of spec.http.* leads to both v1 and v2; the destinations are: assets"),
        ({"http": []}, "the destinations are: none"),
        ({"http": [{"redirect": {"uri": "/"}}, {"route": [destination("v1")]}]}, "the destinations are: v1/shop"),
        (
            {"http": [{"route": [destination("v1", 50), destination("v2", 0), destination("v3", 50)]}]},
            "VirtualService market/shop: v3 gets requests as well",
        ),
    ],
)
def test_a_route_without_a_place_for_the_weights_is_refused(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(NoSuchArm, match=message):
        weighted(route("VirtualService", spec), "v1", "v2", 10)


def test_a_third_destination_without_requests_may_stay() -> None:
    spec = {"http": [{"route": [destination("v1", 100), destination("v2", 0), destination("v0", 0)]}]}
    made = weighted(route("VirtualService", spec), "v1", "v2", 10)
    assert [entry["weight"] for entry in made["http"][0]["route"]] == [90, 10, 0]


def test_a_destination_without_a_weight_has_the_one_that_its_kind_says() -> None:
    of_istio = [{"destination": {"host": "shop", "subset": name}} for name in ("v1", "v2", "v3")]
    found = route("VirtualService", {"http": [{"route": [{**of_istio[0], "weight": 100}, *of_istio[1:]]}]})
    assert shares(found, "v1", "v2") == [0]
    assert [entry["weight"] for entry in weighted(found, "v1", "v2", 10)["http"][0]["route"][:2]] == [90, 10]
    backends = [{"name": name, "port": 80} for name in ("v1", "v2", "v3")]
    of_gateways = route("HTTPRoute", {"rules": [{"backendRefs": backends[:2]}]})
    assert shares(of_gateways, "v1", "v2") == [50]
    with pytest.raises(NoSuchArm, match="v3 gets requests as well"):
        weighted(route("HTTPRoute", {"rules": [{"backendRefs": backends}]}), "v1", "v2", 10)


def test_where_nobody_gets_requests_the_canary_gets_none() -> None:
    backends = [{"name": "v1", "weight": 0}, {"name": "v2", "weight": 0}]
    assert shares(route("HTTPRoute", {"rules": [{"backendRefs": backends}]}), "v1", "v2") == [0]


def test_a_version_leads_to_a_service_and_a_subset_of_it() -> None:
    assert targets(route("VirtualService"), "v2") == {Target("shop", subset="v2")}
    assert targets(route("HTTPRoute"), "v2") == {Target("v2")}
    elsewhere = [{"name": "v1", "namespace": "stock"}, {"name": "v2", "kind": "ServiceImport"}]
    found = route("HTTPRoute", {"rules": [{"backendRefs": elsewhere}]})
    assert (targets(found, "v1"), targets(found, "v2")) == ({Target("v1", "stock")}, set())
    assert targets(route("ServiceSplitter"), "v2") == set()
