"""The public face."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from types import FunctionType

import pytest

from mesh_lab import testing


def test_every_public_name_is_there_once_and_says_what_it_is() -> None:
    assert len(testing.__all__) == len(set(testing.__all__))
    own = {name: found for name, found in vars(testing).items() if isinstance(found, type | FunctionType)}
    assert [name for name, found in own.items() if not inspect.getdoc(found)] == []
    assert own.keys() <= set(testing.__all__) <= vars(testing).keys()


BUILT = {
    "VirtualService": testing.virtual_service("shop", testing.route(testing.to("shop", "v1", 90, 80), timeout="1s")),
    "VirtualService of TCP": testing.tcp_virtual_service("shop", testing.to("shop")),
    "DestinationRule": testing.destination_rule("shop", "v1", policy={"tls": {"mode": "ISTIO_MUTUAL"}}),
    "Service": testing.service("shop", {"app": "shop"}, ("http", 80, 8080)),
    "Sidecar": testing.sidecar("shop", "./*"),
    "Gateway": testing.gateway("way-in", {"hosts": ["*"]}),
    "PeerAuthentication": testing.peer_authentication("STRICT", "shop", p8081="PERMISSIVE"),
    "AuthorizationPolicy": testing.authorization_policy("open", "ALLOW", "shop", {}),
}
SPECS = {
    "VirtualService": {
        "hosts": ["shop"],
        "exportTo": ["."],
        "http": [
            {
                "timeout": "1s",
                "route": [
                    {"destination": {"host": "shop", "subset": "v1", "port": {"number": 80}}, "weight": 90},
                ],
            }
        ],
    },
    "VirtualService of TCP": {
        "hosts": ["shop"],
        "exportTo": ["."],
        "tcp": [{"route": [{"destination": {"host": "shop"}}]}],
    },
    "DestinationRule": {
        "host": "shop",
        "exportTo": ["."],
        "subsets": [{"name": "v1", "labels": {"version": "v1"}}],
        "trafficPolicy": {"tls": {"mode": "ISTIO_MUTUAL"}},
    },
    "Service": {"selector": {"app": "shop"}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
    "Sidecar": {"workloadSelector": {"labels": {"app": "shop"}}, "egress": [{"hosts": ["./*"]}]},
    "Gateway": {"selector": {"istio": "ingressgateway"}, "servers": [{"hosts": ["*"]}]},
    "PeerAuthentication": {
        "mtls": {"mode": "STRICT"},
        "selector": {"matchLabels": {"app": "shop"}},
        "portLevelMtls": {"8081": {"mode": "PERMISSIVE"}},
    },
    "AuthorizationPolicy": {"action": "ALLOW", "selector": {"matchLabels": {"app": "shop"}}, "rules": [{}]},
}


@pytest.mark.parametrize("kind", BUILT)
def test_a_builder_sets_the_fields_that_it_names(kind: str) -> None:
    assert BUILT[kind]["kind"] == kind.split()[0]
    assert BUILT[kind]["spec"] == SPECS[kind]


def test_the_page_of_assertions_names_each_and_no_other() -> None:
    page = (Path(__file__).parents[2] / "docs/assertions.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\bassert_\w+", page)) - {"assert_"} == {
        name for name in testing.__all__ if name.startswith("assert_")
    }
