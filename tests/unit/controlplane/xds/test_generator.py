"""Put together: what is made once is shared, what a change does not touch stays the same, and results are pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from mesh_lab.controlplane.world.proxy import Proxy
from mesh_lab.controlplane.xds import Built, Generator, Resources
from mesh_lab.controlplane.xds.built import build
from mesh_lab.controlplane.xds.memo import Memo, memoised, using
from mesh_lab.controlplane.xds.scope import scope_of
from mesh_lab.controlplane.xds.typeurls import CDS, EDS, LDS, RDS
from tests.unit.controlplane.cluster import bookinfo, config, endpoints, pod, service
from tests.unit.controlplane.xds.translated import CLIENT, REVIEWS


def flat(resources: Resources) -> Iterator[tuple[tuple[str, str], Built]]:
    for url, some in resources.items():
        for name, built in some.items():
            yield (url, name), built


def versions(resources: Resources) -> dict[tuple[str, str], str]:
    return {key: built.version for key, built in flat(resources)}


def changed(before: Resources, after: Resources) -> set[tuple[str, str]]:
    old, new = dict(flat(before)), dict(flat(after))
    return {key for key in old.keys() | new.keys() if old.get(key) is not new.get(key)}


def rule(subset: str, **more: Any) -> dict[str, Any]:
    return config(
        "VirtualService",
        "r",
        {"hosts": ["reviews"], "http": [{"route": [{"destination": {"host": "reviews", "subset": subset}}]}]},
        **more,
    )


def test_the_same_snapshot_gives_the_very_same_resources() -> None:
    cluster, generator = bookinfo(), Generator()
    snapshot, proxy = cluster.snapshot(), cluster.proxy(CLIENT)
    assert changed(generator.generate(snapshot, proxy), generator.generate(snapshot, proxy)) == set()


def test_a_route_of_a_gateway_leaves_a_sidecar_the_very_same_tables() -> None:
    cluster, generator = bookinfo(), Generator()
    before = generator.generate(cluster.snapshot(), cluster.proxy(CLIENT))
    spec = {"hosts": ["*"], "gateways": ["front"], "http": [{"route": [{"destination": {"host": "reviews"}}]}]}
    cluster.add("VirtualService", config("VirtualService", "front", spec))
    after = generator.generate(cluster.snapshot(), cluster.proxy(CLIENT))
    assert {url for url in before if before[url] is not after[url]} == set()


def test_a_generator_without_a_memory_makes_equal_resources() -> None:
    cluster = bookinfo().istio(rule("v1"))
    warm = Generator()
    warm.generate(bookinfo().snapshot(), cluster.proxy(CLIENT))
    assert versions(warm.generate(cluster.snapshot(), cluster.proxy(CLIENT))) == versions(
        Generator().generate(cluster.snapshot(), cluster.proxy(CLIENT))
    )


def test_a_route_changes_the_routes_of_its_port_and_of_port_80_only() -> None:
    cluster, generator = bookinfo(), Generator()
    cluster.add("Service", service("other", ("http", 80)))
    before = generator.generate(cluster.snapshot(), cluster.proxy(CLIENT))
    after = generator.generate(cluster.istio(rule("v1")).snapshot(), cluster.proxy(CLIENT))
    assert changed(before, after) == {(RDS, "9080"), (RDS, "80")}


def test_an_endpoint_changes_its_services_endpoints_only() -> None:
    cluster, generator = bookinfo(), Generator()
    before = generator.generate(cluster.snapshot(), cluster.proxy(CLIENT))
    known = pod("ratings-v1-abc-1", "10.244.0.12", app="ratings", version="v1")
    more = pod("ratings-v1-abc-2", "10.244.0.32", app="ratings", version="v1")
    cluster.add("Pod", more).add("EndpointSlice", endpoints("ratings", known, more, ports=(("http", 9080),)))
    after = generator.generate(cluster.snapshot(), cluster.proxy(CLIENT))
    assert changed(before, after) == {(EDS, "outbound|9080||ratings.default.svc.cluster.local")}


def test_a_subset_adds_a_cluster_and_leaves_the_bytes_of_others() -> None:
    cluster, generator = bookinfo(), Generator()
    before = versions(generator.generate(cluster.snapshot(), cluster.proxy(CLIENT)))
    spec = {"host": "reviews", "subsets": [{"name": "v1", "labels": {"version": "v1"}}]}
    cluster.istio(config("DestinationRule", "r", spec))
    after = versions(generator.generate(cluster.snapshot(), cluster.proxy(CLIENT)))
    name = f"outbound|9080|v1|{REVIEWS}"
    assert after.items() - before.items() == {(key, after[key]) for key in ((CDS, name), (EDS, name))}
    assert before.keys() <= after.keys()


def test_sidecars_of_a_namespace_share_what_they_call() -> None:
    cluster, generator = bookinfo(), Generator()
    snapshot = cluster.snapshot()
    one = generator.generate(snapshot, cluster.proxy(CLIENT))
    other = generator.generate(snapshot, cluster.proxy("details-v1-abc-1"))
    assert one[EDS] is other[EDS]
    assert one[RDS]["9080"] is other[RDS]["9080"]
    assert one[CDS][f"outbound|9080||{REVIEWS}"] is other[CDS][f"outbound|9080||{REVIEWS}"]


def test_labels_distinguish_sidecars_only_where_a_resource_asks_for_them() -> None:
    cluster, generator = bookinfo(), Generator()
    spec = {
        "hosts": ["reviews"],
        "http": [{"match": [{"sourceLabels": {"app": "productpage"}}], "directResponse": {"status": 418}}],
    }
    snapshot = cluster.istio(config("VirtualService", "r", spec)).snapshot()
    one = generator.generate(snapshot, cluster.proxy(CLIENT))
    other = generator.generate(snapshot, cluster.proxy("details-v1-abc-1"))
    assert one[RDS]["9080"].version != other[RDS]["9080"].version


@pytest.mark.parametrize("kind", ["http", "tcp", "tls"])
def test_a_rule_that_comes_to_ask_for_labels_is_noticed(kind: str) -> None:
    cluster, generator = bookinfo(), Generator()
    to_reviews = [{"destination": {"host": "reviews"}}]

    def scopes(**match: Any) -> set[Any]:
        asked = {"sniHosts": ["reviews"], **match} if kind == "tls" else match
        spec = {"hosts": ["reviews"], kind: [{"match": [asked], "route": to_reviews}]}
        snapshot = cluster.istio(config("VirtualService", "r", spec)).snapshot()
        with generator.remembering():
            return {scope_of(snapshot, "default", {"app": app}) for app in ("productpage", "details")}

    assert len(scopes(port=9080)) == 1
    assert len(scopes(port=9080, sourceLabels={"app": "details"})) == 2


def test_everything_knows_what_caused_it() -> None:
    cluster = bookinfo().istio(
        rule("v1"),
        config("DestinationRule", "d", {"host": "reviews"}),
        config("PeerAuthentication", "p", {"mtls": {"mode": "STRICT"}}),
        config("AuthorizationPolicy", "a", {}),
    )
    found = Generator().generate(cluster.snapshot(), cluster.proxy(CLIENT))

    def causes(url: str, name: str) -> set[tuple[str, str]]:
        return {(origin.kind, origin.name) for origin in found[url][name].origins}

    assert ("VirtualService", "r") in causes(RDS, "9080")
    assert causes(CDS, f"outbound|9080||{REVIEWS}") == {("Service", "reviews"), ("DestinationRule", "d")}
    assert ("PeerAuthentication", "p") in causes(LDS, "virtualInbound")
    assert ("AuthorizationPolicy", "a") in causes(RDS, "inbound|9080||")


def test_a_new_generation_of_a_resource_is_seen_in_the_origins_even_if_it_says_the_same() -> None:
    cluster, generator = bookinfo().istio(rule("v1")), Generator()
    before = generator.generate(cluster.snapshot(), cluster.proxy(CLIENT))[RDS]["9080"]
    touched = rule("v1")
    touched["metadata"]["generation"] = 2
    after = generator.generate(cluster.istio(touched).snapshot(), cluster.proxy(CLIENT))[RDS]["9080"]
    assert after.version == before.version
    assert {o.generation for o in after.origins if o.kind == "VirtualService"} == {2}


def test_a_proxy_whose_pod_is_gone_has_what_it_had_when_it_connected() -> None:
    cluster = bookinfo()
    proxy = cluster.proxy(CLIENT)
    before = versions(Generator().generate(cluster.snapshot(), proxy))
    cluster.world.apply("Pod", "DELETED", pod(CLIENT, "10.244.0.10", app="productpage", version="v1"))
    after = versions(Generator().generate(cluster.snapshot(), proxy))
    assert before.keys() == after.keys()


def test_a_proxys_identity() -> None:
    proxy: Proxy = bookinfo().proxy(CLIENT)
    assert proxy.principal == "spiffe://cluster.local/ns/default/sa/productpage"
    assert proxy.id == f"sidecar~10.244.0.10~{CLIENT}.default~default.svc.cluster.local"


def test_the_memory_forgets_what_is_not_asked_for() -> None:
    made: list[int] = []

    def square(number: int) -> int:
        made.append(number)
        return number * number

    memo = Memo(least=10)
    for number in range(10):
        memo(square, number)
    for number in range(100, 125):
        memo.turn()
        assert memo(square, 3) == 9
        memo(square, number)
    assert made.count(3) == 1
    memo(square, 4)
    assert made.count(4) == 2


@pytest.mark.parametrize("shared", [1, 3])
def test_the_memory_is_bounded_by_what_is_asked_for_again(shared: int) -> None:
    """Of each change something new is made, that several proxies may ask for, and that nobody needs after the next."""
    memo, live = Memo(least=100), 50
    sizes = []
    for turn in range(5000):
        memo.turn()
        for _ in range(shared):
            for number in range(live):
                memo(abs, -number)
            for number in range(3):
                memo(pow, turn, number)
        sizes.append(len(memo))
    assert max(sizes) <= 2 * (live + 100 + 3)
    assert max(sizes[:200]) == max(sizes)


def test_large_resources_that_nobody_needs_any_more_are_forgotten_sooner() -> None:
    memo, kept = Memo(least=1000), []
    body = b"x" * 1_000_000
    for turn in range(50):
        memo.turn()
        memo(build, RDS, f"routes {turn}", body, ())
        kept.append(len(memo))
    assert max(kept) <= 10


def test_what_one_state_needs_is_kept_however_much_it_is() -> None:
    made: list[int] = []
    memo = Memo(least=10)
    for _ in range(5):
        memo.turn()
        for number in range(1000):
            memo(made.append, number)
    assert len(made) == 1000


def test_what_shapes_a_resource_from_afar_is_among_its_causes() -> None:
    cluster = bookinfo().istio(
        config("Sidecar", "s", {"outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"}}),
        config("PeerAuthentication", "p", {"mtls": {"mode": "DISABLE"}}),
    )
    found = Generator().generate(cluster.snapshot(), cluster.proxy(CLIENT))
    assert "s" in {o.name for o in found[LDS]["virtualOutbound"].origins}
    assert "p" in {o.name for o in found[EDS][f"outbound|9080||{REVIEWS}"].origins}


def test_a_memoised_function_uses_the_memory_that_is_lent_to_it() -> None:
    made = []

    @memoised
    def make(name: str) -> object:
        made.append(name)
        return object()

    assert make("a") is not make("a"), "without a memory nothing is kept"
    one, other = Memo(), Memo()
    with using(one):
        kept = make("a")
        with using(other):
            assert make("a") is not kept, "each caller has its own"
        assert make("a") is kept
    assert (len(one), len(other), len(made)) == (1, 1, 4)
