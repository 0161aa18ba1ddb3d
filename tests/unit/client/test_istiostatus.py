"""What is read from the documents of Istio's debug interface, as istiod 1.28 answers it."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_lab.client import istiostatus
from tests.unit.client.istioserving import (
    of_late,
    of_old,
    pod,
    policy,
)


def test_proxies_count_as_in_sync_when_they_have_acknowledged_the_last_of_every_type() -> None:
    late = [of_late("a.default"), of_late("b.default", acked="b=1"), of_late("c.default", error="bad listener")]
    found = istiostatus.proxies([late, [of_old("d.default"), of_old("e.default", acked="a=0")]], [])
    assert [(report.proxy[0], report.synced) for report in found] == [
        ("a", True),
        ("b", False),
        ("c", False),
        ("d", True),
        ("e", False),
    ]
    assert found[1].pending == ("Listener",)
    assert found[2].errors == (("Listener", "bad listener"),)
    assert found[4].pending == ("cluster",)


def test_what_was_never_sent_need_not_be_acknowledged() -> None:
    (report,) = istiostatus.proxies([[{"proxy": "ztunnel.istio-system", "proxy_type": "ztunnel"}]], [])
    assert report.synced


def test_the_proxy_of_every_ready_pod_counts_whether_an_istiod_lists_it_or_not() -> None:
    pods = [pod("a"), pod("b"), pod("c", native=True), pod("d", ready="False"), pod("e", leaving=True), pod("f", "web")]
    found = istiostatus.proxies([[of_late("a.default")], [of_late("gone.default")]], pods)
    assert [(report.proxy, report.synced) for report in found] == [
        ("a.default", True),
        ("b.default", False),
        ("c.default", False),
        ("gone.default", True),
    ]


@pytest.mark.parametrize(
    ("sent", "pending"),
    [
        ({}, ("cluster", "listener")),
        ({"cluster": "n"}, ("listener",)),
        ({"cluster": "n", "listener": "n"}, ()),
        ({"listener": "n"}, ()),
    ],
)
def test_an_envoy_that_has_only_just_connected_is_not_in_sync(sent: dict[str, str], pending: tuple[str, ...]) -> None:
    fields = {f"{kind}_{what}": nonce for kind, nonce in sent.items() for what in ("sent", "acked")}
    (report,) = istiostatus.proxies([[{"proxy": "a.default", "proxy_type": "sidecar", **fields}]], [])
    assert report.pending == pending


@pytest.mark.parametrize(
    ("interval", "seconds"), [("1s", 3), ("1m30s", 92), ("1500ms", 3.5), ("500ms", 12), ("soon", 12), ("", 12)]
)
def test_an_interval_is_read_as_istio_reads_it(interval: str, seconds: float) -> None:
    environ = {"PILOT_ENABLE_ANALYSIS": "true", "PILOT_ANALYSIS_INTERVAL": interval}
    assert istiostatus.analysis_s(environ) == seconds


@pytest.mark.parametrize(
    ("pods", "seconds"),
    [
        ([], 0.0),
        ([pod("a", "web")], 0.0),
        ([pod("a")], 45.1),
        ([policy(drain="1s"), policy(variable="1m30s")], 90.1),
        ([policy(drain="'2s'", variable="5s")], 2.1),
        ([policy(drain="soon")], 45.1),
    ],
)
def test_a_policy_drains_for_as_long_as_the_proxies_it_concerns_take(pods: list[Any], seconds: float) -> None:
    assert istiostatus.drain_s("AuthorizationPolicy", pods) == pytest.approx(seconds)
    assert istiostatus.drain_s("VirtualService", pods) == 0.0
