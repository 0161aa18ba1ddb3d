"""The rules do in real network namespaces what they say, and a change touches no more than it has to."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_lab.kube.network.policies.compiling import compile_policies
from mesh_lab.kube.network.policies.model import World
from mesh_lab.kube.network.policies.text import FAMILIES, NOTHING, Table, change, render
from mesh_lab.kube.objects.policies import NetworkPolicy
from tests.unit.kube.network.isolation import isolated
from tests.unit.kube.network.policies.worlds import labels, pod, policy, world

IP = FAMILIES[0]
EVERYTHING = {"pod": True, "service": True, "probe": True, "host": True, "itself": True, "dns": True}


def inside(name: str, **arguments: Any) -> Any:
    return isolated(name, module="tests.unit.kube.network.policies.inside", **arguments)


def table(present: World, *policies: NetworkPolicy) -> Table:
    return render(compile_policies(policies, present), IP)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_datagrams_pass_as_the_specification_says(seed: int) -> None:
    assert inside("random_steps", seed=seed, steps=40) == []


def test_changes_lead_to_the_same_rules_as_a_fresh_start() -> None:
    assert inside("same_as_fresh", seed=20261201, steps=60) == []


def test_connections_of_all_sorts() -> None:
    found = inside("ways")
    assert found["none"] == EVERYTHING
    assert found["ingress denied"] == EVERYTHING | {"pod": False, "service": False, "host": False}
    assert found["from pods only"] == EVERYTHING | {"host": False}
    assert found["from the node only"] == EVERYTHING | {"pod": False, "service": False}
    assert found["by the name of the port"] == EVERYTHING
    assert found["egress denied"] == EVERYTHING | {"pod": False, "service": False, "dns": False}
    assert found["egress to dns"] == EVERYTHING | {"pod": False, "service": False}
    assert found["dns denied"] == EVERYTHING | {"dns": False}
    assert found["an open connection"] == "still here"
    assert "mesh_lab_policies" not in found["afterwards"]


def test_what_comes_from_the_host_is_told_from_what_the_node_does() -> None:
    assert "packets 0" not in inside("relayed")


def test_nft_takes_the_other_family() -> None:
    assert inside("ip6")


def test_nothing_is_said_of_what_stays() -> None:
    deny = policy()
    assert change(NOTHING, NOTHING, IP) == ""
    assert table(world(pod(2)), policy(namespace="b")) == NOTHING
    assert change(table(world(pod(2)), deny), table(world(pod(2)), deny), IP) == ""
    assert (
        change(table(world(pod(2)), deny), NOTHING, IP)
        == "table ip mesh_lab_policies\ndelete table ip mesh_lab_policies\n"
    )


def test_a_label_changes_one_element() -> None:
    rule = {"from": [{"podSelector": labels(app="web")}]}
    before = table(world(pod(2, app="web"), pod(3)), policy(ingress=[rule]))
    after = table(world(pod(2, app="web"), pod(3, app="web")), policy(ingress=[rule]))
    (name,) = (each for each in after.sets if each.startswith("peers/"))
    assert change(before, after, IP).splitlines() == [
        "add table ip mesh_lab_policies",
        f"add element ip mesh_lab_policies {name} {{ 10.244.0.3 }}",
    ]
