"""Pod specs that are refused, beside their containers and volumes."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_lab.kube import resources as kinds
from mesh_lab.kube.registry import Registry
from tests.unit.kube.registry.manifests import deployment, set_at
from tests.unit.kube.registry.refusals import RFC_1123, TEMPLATE, Case, refused

CASES: list[Case] = [
    (
        f"{TEMPLATE}.dnsPolicy",
        "None",
        f"{TEMPLATE}.dnsConfig.nameservers",
        "Required value: must provide at least one DNS nameserver when `dnsPolicy` is None",
    ),
    (f"{TEMPLATE}.hostname", "A.b", f"{TEMPLATE}.hostname", f'Invalid value: "A.b": {RFC_1123}'),
    (
        f"{TEMPLATE}.hostAliases",
        [{"ip": "nowhere"}],
        f"{TEMPLATE}.hostAliases[0].ip",
        'Invalid value: "nowhere": must be a valid IP address',
    ),
    (f"{TEMPLATE}.nodeSelector", {"a b": "c"}, f"{TEMPLATE}.nodeSelector", 'Invalid value: "a b": name part must'),
    (
        f"{TEMPLATE}.tolerations",
        [{"key": "a", "operator": "Exists", "value": "b"}],
        f"{TEMPLATE}.tolerations[0].operator",
        "Invalid value: \"Exists\": value must be empty when `operator` is 'Exists'",
    ),
    (
        f"{TEMPLATE}.tolerations",
        [{"value": "b"}],
        f"{TEMPLATE}.tolerations[0].operator",
        'Invalid value: "Equal": operator must be Exists when `key` is empty',
    ),
    (
        f"{TEMPLATE}.tolerations",
        [{"key": "a", "effect": "NoSchedule", "tolerationSeconds": 1}],
        f"{TEMPLATE}.tolerations[0].effect",
        "Invalid value: \"NoSchedule\": effect must be 'NoExecute' when `tolerationSeconds` is set",
    ),
    (
        f"{TEMPLATE}.topologySpreadConstraints",
        [{"maxSkew": 0, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}],
        f"{TEMPLATE}.topologySpreadConstraints[0].maxSkew",
        "Invalid value: 0: must be greater than zero",
    ),
]


@pytest.mark.parametrize(("path", "value", "field", "words"), CASES, ids=lambda one: str(one)[:40])
async def test_an_invalid_pod_spec_is_refused(
    registry: Registry, path: str, value: Any, field: str, words: str
) -> None:
    obj = deployment()
    set_at(obj, path, value)
    causes = await refused(registry, kinds.DEPLOYMENTS, obj)
    assert causes[field].startswith(words)
