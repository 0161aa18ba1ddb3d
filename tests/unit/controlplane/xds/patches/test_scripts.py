"""TrafficExtension: scripts in Lua, where they stand among the filters, and for which traffic."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mesh_lab.controlplane.xds import Resources
from mesh_lab.controlplane.xds.typeurls import LDS
from tests.unit.controlplane.cluster import config
from tests.unit.controlplane.envoy import message, static, validate
from tests.unit.controlplane.xds.patches.patched import http_filters, resources
from tests.unit.controlplane.xds.patches.test_pages import GATE, PAGE, mesh

PREFIX = "extensions.istio.io/trafficextension/"


def script(name: str = "parity", namespace: str = "istio-system", **spec: Any) -> dict[str, Any]:
    return config(
        "TrafficExtension",
        name,
        {"lua": {"inlineCode": "function envoy_on_request(h) end"}, **spec},
        namespace=namespace,
    )


def of(found: Resources, listener: str) -> list[list[str]]:
    """The scripts of each chain of a listener."""
    chains = http_filters(message(found[LDS][listener]))
    return [[name.removeprefix(PREFIX) for name in names if name.startswith(PREFIX)] for names in chains]


def test_the_gateway_of_the_page_runs_its_script(tmp_path: Path) -> None:
    found = resources(mesh().istio(script(selector={"matchLabels": {"istio": "ingressgateway"}}, phase="AUTHN")), *GATE)
    assert of(found, "0.0.0.0_8080") == [["istio-system.parity"]]
    assert ("TrafficExtension", "istio-system", "parity") in [each.key for each in found[LDS]["0.0.0.0_8080"].origins]
    validate(static(found), tmp_path)
    assert not any(of(resources(mesh().istio(script(selector={"matchLabels": {"a": "b"}})), *GATE), "0.0.0.0_8080"))


def test_phases_stand_around_the_filters_of_policies(tmp_path: Path) -> None:
    deny = config("AuthorizationPolicy", "deny", {"action": "DENY", "rules": [{}]})
    phases = [script(phase.lower(), phase=phase) for phase in ("STATS", "AUTHZ", "UNSPECIFIED", "AUTHN")]
    found = resources(mesh().istio(deny, *phases), PAGE)
    for names in http_filters(message(found[LDS]["virtualInbound"])):
        order = [name.removeprefix(f"{PREFIX}istio-system.") for name in names]
        places = [
            order.index(name) for name in ("authn", "authz", "envoy.filters.http.rbac.deny", "stats", "unspecified")
        ]
        assert places == sorted(places)
        assert order.index("unspecified") < order.index("envoy.filters.http.router")
    validate(static(found), tmp_path)


def test_the_highest_priority_comes_first_then_the_oldest_of_the_proxys_namespace() -> None:
    found = resources(
        mesh().istio(
            script("low"), script("own", "default"), script("high", priority=5), script("negative", priority=-1)
        ),
        PAGE,
    )
    expected = ["istio-system.high", "default.own", "istio-system.low", "istio-system.negative"]
    assert all(names == expected for names in of(found, "virtualInbound"))


@pytest.mark.parametrize(
    ("match", "inbound", "outbound"),
    [
        ([{"mode": "SERVER"}], True, False),
        ([{"mode": "CLIENT"}], False, True),
        ([{"mode": "CLIENT_AND_SERVER", "ports": [{"number": 9080}]}], True, True),
        ([{"ports": [{"number": 1}]}], False, False),
        ([{"mode": "CLIENT", "ports": [{"number": 1}]}, {"mode": "SERVER", "ports": [{"number": 9080}]}], True, False),
    ],
)
def test_a_match_is_by_side_and_port(match: list[Any], *, inbound: bool, outbound: bool) -> None:
    found = resources(mesh().istio(script(match=match)), PAGE)
    assert any(of(found, "virtualInbound")) is inbound
    assert any(of(found, "0.0.0.0_9080")) is outbound


def test_a_gateways_port_is_the_one_that_its_service_has() -> None:
    found = resources(mesh().istio(script(match=[{"ports": [{"number": 80}]}])), *GATE)
    assert of(found, "0.0.0.0_8080") == [["istio-system.parity"]]
