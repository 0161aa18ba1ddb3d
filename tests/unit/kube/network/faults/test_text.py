"""The text that nft gets, and what the kernel makes of it in network namespaces."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import given

from mesh_lab.kube.network.faults.text import delaying, dropping, name_of, packets, removal, table_of
from mesh_lab.networkfaults import EGRESS, INGRESS, Delay, Fault, Loss, Partition, Port
from tests.unit.kube.network.isolation import isolated
from tests.unit.test_networkfaults import faults

UNTIL = datetime(2026, 1, 31, 12, tzinfo=UTC)
POD = ("10.244.0.5", "fd00::5")


def rules(script: str) -> list[str]:
    return [line.strip() for line in script.splitlines() if "counter" in line]


def inside(name: str, **arguments: Any) -> Any:
    return isolated(name, module="tests.unit.kube.network.faults.inside", **arguments)


def test_a_partition_drops_both_directions_and_what_the_pod_asks_of_the_node() -> None:
    fault = Partition(until=UNTIL, peers=("10.244.0.7",))
    assert rules(dropping("inet t", fault, POD)) == [
        "ip saddr 10.244.0.5 ip daddr { 10.244.0.7/32 } counter drop",
        "ip daddr 10.244.0.5 ip saddr { 10.244.0.7/32 } counter drop",
        "ct direction original ip saddr 10.244.0.5 ip daddr { 10.244.0.7/32 } counter drop",
    ]


def test_a_loss_draws_in_parts_of_ten_thousand() -> None:
    fault = Loss(until=UNTIL, ratio=0.0755, direction=INGRESS)
    assert rules(dropping("inet t", fault, POD[:1])) == [
        "ip daddr 10.244.0.5 numgen random mod 10000 < 755 counter drop"
    ]


def test_ports_are_those_that_packets_are_sent_to_by_protocol() -> None:
    fault = Partition(until=UNTIL, ports=(Port(53, "UDP"), Port(443), Port(80)), direction=EGRESS)
    assert rules(dropping("inet t", fault, POD[:1]))[:2] == [
        "ip saddr 10.244.0.5 tcp dport { 80, 443 } counter drop",
        "ip saddr 10.244.0.5 udp dport { 53 } counter drop",
    ]


def test_peers_of_a_family_concern_addresses_of_that_family() -> None:
    fault = Partition(until=UNTIL, peers=("fd00::7",), direction=EGRESS)
    assert all("ip6 saddr fd00::5 ip6 daddr { fd00::7/128 }" in rule for rule in rules(dropping("inet t", fault, POD)))


def test_a_delay_spares_the_answers_to_the_node() -> None:
    fault = Delay(until=UNTIL, seconds=0.1)
    script = delaying("netdev t", fault, POD, "pod3", "fault1", ["10.244.0.1", "fd00::1"])
    assert "ip saddr 10.244.0.5 ip daddr 10.244.0.1 return" in script
    assert "ip6 saddr fd00::5 ip6 daddr fd00::1 return" in script
    assert rules(script) == [
        'ip saddr 10.244.0.5 counter fwd to "fault1"',
        'ip6 saddr fd00::5 counter fwd to "fault1"',
    ]


@given(faults)
def test_names_fit_and_each_script_begins_by_removing_what_was(fault: Fault) -> None:
    name = name_of("uid", "chaos.mesh-lab/one")
    assert len(f"{name}far") <= 15
    table = table_of(name, fault)
    script = (
        delaying(table, fault, POD, "pod3", name, ["10.244.0.1"])
        if isinstance(fault, Delay)
        else dropping(table, fault, POD)
    )
    assert script.startswith(removal(table))


def test_packets_are_added_up() -> None:
    assert packets("... counter packets 3 bytes 180 drop\n ... counter packets 39 bytes 2 drop") == 42
    assert packets("table inet t {\n}") == 0


def test_the_kernel_takes_every_script() -> None:
    assert inside("taken") == []


def test_a_partition_is_between_its_pods_and_ends_with_its_table() -> None:
    assert inside("partitioned") == {
        "before": {"peer": True, "other": True, "back": True, "node": True},
        "from a peer": {"peer": False, "other": True, "back": False, "node": True},
        "from all": {"peer": False, "other": False, "back": False, "node": False},
        "at one port": {"peer": True, "other": True, "back": True, "node": True},
        "after": {"peer": True, "other": True, "back": True, "node": True},
    }


def test_a_loss_is_as_large_as_it_was_asked_for() -> None:
    # Exact binomial bounds at a false-alarm rate of one in a million.
    assert 1060 <= inside("lost", ratio=0.3, datagrams=4000) <= 1343
