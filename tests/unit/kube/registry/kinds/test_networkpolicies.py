"""NetworkPolicies: defaults, what a real API server refuses or warns of in its words, and what is shown."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from mesh_lab.kube.api import tables
from mesh_lab.kube.errors import ApiError
from mesh_lab.kube.registry import Registry
from mesh_lab.kube.registry.kinds import behaviour_of
from mesh_lab.kube.resources import NETWORK_POLICIES

Object = dict[str, Any]
EMPTY = {"key": "a", "operator": "In"}
STRICT = "must be a strict subset of `cidr`"
BLOCK = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"


async def create(registry: Registry, **spec: Any) -> Object:
    obj = {"metadata": {"name": "one", "namespace": "default"}, "spec": {"podSelector": {}, **spec}}
    return await registry.create(NETWORK_POLICIES, obj)


def warnings(obj: Object) -> list[str]:
    return list(behaviour_of(NETWORK_POLICIES).remark(obj))


async def test_types_follow_the_rules_and_ports_are_of_tcp(registry: Registry) -> None:
    made = await create(registry, egress=[{"ports": [{"port": 53}]}])
    assert made["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert made["spec"]["egress"][0]["ports"] == [{"port": 53, "protocol": "TCP"}]


async def test_without_egress_rules_it_is_about_ingress(registry: Registry) -> None:
    made = await create(registry)
    assert made["spec"]["policyTypes"] == ["Ingress"]
    assert warnings(made) == [], "it is carried out as it stands"


async def test_it_is_shown_with_what_it_selects(registry: Registry) -> None:
    made = await create(registry, podSelector={"matchLabels": {"app": "web"}})
    shown = tables.table(tables.printer_for(NETWORK_POLICIES), [made], {}, now=datetime.now(UTC))["rows"][0]["cells"]
    assert shown[:2] == ["one", "app=web"]


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"from": [{}]}, "spec.ingress[0].from[0]: Required value: must specify a peer"),
        (
            {"from": [{"podSelector": {}, "ipBlock": {"cidr": "10.0.0.0/8"}}]},
            "spec.ingress[0].from[0]: Forbidden: may not specify both ipBlock and another peer",
        ),
        ({"from": [{"ipBlock": {"cidr": "10.0.0.1"}}]}, f'from[0].ipBlock.cidr: Invalid value: "10.0.0.1": {BLOCK}'),
        ({"from": [{"ipBlock": {"cidr": "10.0.0.0/255.0.0.0"}}]}, BLOCK),
        ({"from": [{"ipBlock": {"cidr": "010.0.0.0/8"}}]}, BLOCK),
        ({"from": [{"ipBlock": {"cidr": "10.0.0.0/33"}}]}, BLOCK),
        ({"from": [{"ipBlock": {"cidr": ""}}]}, "from[0].ipBlock.cidr: Required value"),
        (
            {"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.0.0/8"]}}]},
            STRICT,
        ),
        ({"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["192.0.2.0/24"]}}]}, "except[0]: Invalid value"),
        ({"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["fd00::/64"]}}]}, STRICT),
        ({"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["x"]}}]}, BLOCK),
        ({"from": [{"podSelector": {"matchLabels": {"app": "no good"}}}]}, "from[0].podSelector.matchLabels"),
        (
            {"from": [{"namespaceSelector": {"matchExpressions": [EMPTY]}}]},
            "must be specified",
        ),
        ({"ports": [{"port": 0}]}, "ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"),
        ({"ports": [{"port": "No_Name"}]}, "ports[0].port: Invalid value"),
        ({"ports": [{"protocol": "ICMP"}]}, 'ports[0].protocol: Unsupported value: "ICMP"'),
        (
            {"ports": [{"port": 80, "endPort": 79}]},
            "ports[0].endPort: Invalid value: 79: must be greater than or equal to `port`",
        ),
        ({"ports": [{"port": 80, "endPort": 70000}]}, "must be between 1 and 65535, inclusive"),
        ({"ports": [{"port": "http", "endPort": 90}]}, "may not be specified when `port` is non-numeric"),
        ({"ports": [{"endPort": 90}]}, "may not be specified when `port` is not specified"),
    ],
)
async def test_what_a_real_server_refuses_is_refused(registry: Registry, rule: Object, words: str) -> None:
    with pytest.raises(ApiError) as refused:
        await create(registry, ingress=[rule])
    assert words in refused.value.message


@pytest.mark.parametrize(
    ("types", "words"),
    [
        (["Sideways"], 'spec.policyTypes[0]: Unsupported value: "Sideways"'),
        (["Ingress", "Egress", "Ingress"], "may not specify more than two policyTypes"),
    ],
)
async def test_types_that_do_not_exist_are_refused(registry: Registry, types: list[str], words: str) -> None:
    with pytest.raises(ApiError) as refused:
        await create(registry, policyTypes=types)
    assert words in refused.value.message


async def test_an_ambiguous_network_draws_a_warning(registry: Registry) -> None:
    block = {"cidr": "10.0.0.1/8", "except": ["10.1.0.9/16"]}
    made = await create(registry, egress=[{"to": [{"ipBlock": block}]}])
    where, words = "spec.egress[0].to[0].ipBlock", "is ambiguous in this context (should be"
    assert warnings(made) == [
        f'{where}.cidr: CIDR value "10.0.0.1/8" {words} "10.0.0.0/8" or "10.0.0.1/32"?)',
        f'{where}.except[0]: CIDR value "10.1.0.9/16" {words} "10.1.0.0/16" or "10.1.0.9/32"?)',
    ]


async def test_a_network_of_ipv6_is_told_its_canonical_form(registry: Registry) -> None:
    (found,) = warnings(await create(registry, egress=[{"to": [{"ipBlock": {"cidr": "fd00:0::/64"}}]}]))
    assert found.startswith('spec.egress[0].to[0].ipBlock.cidr: IPv6 CIDR value "fd00:0::/64" should be in')
    assert found.endswith('RFC 5952 canonical format ("fd00::/64")')
