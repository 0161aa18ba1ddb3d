"""A delay in network namespaces, on kernels with netem or without."""

from __future__ import annotations

from tests.unit.kube.network.isolation import isolated


def test_a_delay_holds_back_what_its_pod_sends_to_its_peers_and_loses_nothing() -> None:
    found = isolated("delayed", module="tests.unit.kube.network.faults.inside", seconds=0.5, jitter=0.1)
    assert found["during"] >= 0.4
    assert found["large"] >= 0.4
    assert max(found["before"], found["elsewhere"], found["after"]) < 0.4
    assert found["counted"] > 4
    assert found["left"] == ""
