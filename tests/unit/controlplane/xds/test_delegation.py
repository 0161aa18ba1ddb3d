"""VirtualServices whose rules stand in others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mesh_lab.controlplane.xds.typeurls import RDS
from tests.unit.controlplane.cluster import Cluster, bookinfo, config, mesh_config
from tests.unit.controlplane.envoy import static, validate
from tests.unit.controlplane.xds.translated import resources, routes_to


def to(host: str, subset: str = "") -> list[dict[str, Any]]:
    return [{"destination": {"host": host, **({"subset": subset} if subset else {})}}]


def root(*rules: dict[str, Any], name: str = "root") -> dict[str, Any]:
    return config("VirtualService", name, {"hosts": ["reviews"], "http": list(rules)})


def delegate(*rules: dict[str, Any], name: str = "part", namespace: str = "default", **spec: Any) -> dict[str, Any]:
    return config("VirtualService", name, {"http": list(rules), **spec}, namespace=namespace)


def hand_over(match: list[dict[str, Any]] | None = None, namespace: str = "", **more: Any) -> dict[str, Any]:
    where = {"name": "part"} | ({"namespace": namespace} if namespace else {})
    return {"delegate": where, **({"match": match} if match else {}), **more}


def paths(cluster: Cluster) -> list[tuple[str, str]]:
    return [(r.match.path or r.match.prefix, r.route.cluster.split("|")[3].split(".")[0]) for r in routes_to(cluster)]


REST = {"route": to("reviews")}


def test_a_delegates_rules_stand_where_the_delegating_rule_does(tmp_path: Path) -> None:
    part = delegate(
        {"match": [{"uri": {"prefix": "/d/x"}}], "route": to("details")},
        {"match": [{"uri": {"exact": "/d/y"}}], "route": to("ratings")},
        {"match": [{"uri": {"prefix": "/other"}}], "route": to("productpage")},
        {"route": to("ratings")},
    )
    found = bookinfo().istio(root(hand_over([{"uri": {"prefix": "/d"}}]), REST), part)
    assert paths(found) == [("/d/x", "details"), ("/d/y", "ratings"), ("/d", "ratings"), ("/", "reviews")]
    validate(static(resources(found)), tmp_path)


def test_hosts_are_the_delegates_own_namespaces() -> None:
    part = delegate({"route": to("cart")}, namespace="shop")
    (route,) = routes_to(bookinfo().istio(root(hand_over(namespace="shop")), part))
    assert route.route.cluster == "outbound|9080||cart.shop.svc.cluster.local"


def test_what_a_delegate_leaves_out_is_as_the_delegating_rule_has_it() -> None:
    part = delegate({"name": "inner", "route": to("details"), "timeout": "1s"})
    over = hand_over(name="outer", timeout="5s", rewrite={"uri": "/"}, headers={"request": {"remove": ["a"]}})
    (route,) = routes_to(bookinfo().istio(root(over), part))
    assert route.name == "outer-inner"
    assert route.route.timeout.seconds == 1
    assert route.route.prefix_rewrite == "/"
    assert list(route.request_headers_to_remove) == ["a"]


@pytest.mark.parametrize(
    ("outer", "inner", "holds"),
    [
        ({"uri": {"prefix": "/a"}}, {"uri": {"prefix": "/a/b"}}, True),
        ({"uri": {"prefix": "/a/b"}}, {"uri": {"prefix": "/a"}}, False),
        ({"uri": {"exact": "/a"}}, {"uri": {"exact": "/a"}}, True),
        ({"uri": {"exact": "/a"}}, {"uri": {"prefix": "/a"}}, False),
        ({"uri": {"regex": "/a.*"}}, {"uri": {"exact": "/a"}}, False),
        ({"uri": {"prefix": "/a"}}, {"headers": {"x": {"exact": "1"}}}, True),
        ({"headers": {"x": {"exact": "1"}}}, {"headers": {"x": {"exact": "2"}}}, False),
        ({"queryParams": {"q": {"exact": "1"}}}, {"queryParams": {"p": {"exact": "2"}}}, True),
        ({"port": 9080}, {"port": 9081}, False),
        ({"ignoreUriCase": True, "uri": {"prefix": "/a"}}, {"uri": {"prefix": "/a"}}, False),
        ({"sourceLabels": {"app": "productpage"}}, {"sourceLabels": {"app": "other"}}, False),
        ({"gateways": ["mesh"]}, {"gateways": ["mesh"]}, True),
        ({"gateways": ["mesh"]}, {"gateways": ["mesh", "front"]}, False),
        ({"sourceNamespace": "default"}, {"sourceNamespace": "default"}, True),
        ({"sourceNamespace": "default"}, {}, False),
    ],
)
def test_matches_that_contradict_each_other_are_left_out(
    outer: dict[str, Any], inner: dict[str, Any], holds: bool
) -> None:
    part = delegate({"match": [inner], "route": to("details")})
    found = bookinfo().istio(root(hand_over([outer]), REST), part)
    assert ("details" in [cluster for _, cluster in paths(found)]) is holds


@pytest.mark.parametrize(
    ("exported", "default", "seen"),
    [([], "", True), (["shop"], "", False), (["default"], "", True), ([], "['.']", False)],
)
def test_a_delegate_is_for_the_namespaces_that_it_is_exported_to(exported: list[str], default: str, seen: bool) -> None:
    part = delegate({"route": to("details.default.svc.cluster.local")}, namespace="shop", exportTo=exported)
    found = bookinfo().istio(root(hand_over([{"uri": {"prefix": "/d"}}], "shop"), REST), part)
    if default:
        found.add("ConfigMap", mesh_config(f"defaultVirtualServiceExportTo: {default}"))
    assert (("/d", "details") in paths(found)) is seen


def test_a_delegate_that_is_missing_leaves_the_other_rules() -> None:
    assert paths(bookinfo().istio(root(hand_over([{"uri": {"prefix": "/d"}}]), REST))) == [("/", "reviews")]


def test_a_delegate_has_no_routes_of_its_own_and_answers_for_those_that_it_gives() -> None:
    part = delegate({"route": to("details")})
    alone = resources(bookinfo().istio(part))[RDS]["9080"]
    assert all(origin.name != "part" for origin in alone.origins)
    used = resources(bookinfo().istio(root(hand_over()), part))[RDS]["9080"]
    assert {origin.name for origin in used.origins if origin.kind == "VirtualService"} == {"root", "part"}
