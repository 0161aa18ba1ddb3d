"""Intentions: what a server's proxy denies, held to a slow reference, and by whom clients are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from envoy.config.rbac.v3.rbac_pb2 import RBAC
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mesh_lab.controlplane.xds import Generator
from mesh_lab.controlplane.xds.together import policies_of
from tests.unit.controlplane.cluster import Cluster, Object, config, pod, service
from tests.unit.controlplane.dialects.consul.objects import conditions, consul, defaults, synced
from tests.unit.controlplane.envoy import static, validate
from tests.unit.controlplane.xds.judging import Request, http_rules, passes, tcp_rules

SPIFFE = "spiffe://cluster.local/ns/{}/sa/{}"
PRODUCTPAGE, RATINGS = SPIFFE.format("default", "productpage"), SPIFFE.format("default", "ratings")


def intents(*sources: Object, to: str = "reviews", namespace: str = "", name: str = "") -> Object:
    destination = {"name": to} | ({"namespace": namespace} if namespace else {})
    made = name or f"{to}-{namespace}".replace("*", "all").strip("-")
    return config("ServiceIntentions", made, {"destination": destination, "sources": list(sources)})


def source(name: str, action: str = "deny", namespace: str = "") -> Object:
    return {"name": name, "action": action} | ({"namespace": namespace} if namespace else {})


def permissions(name: str, *allowed: tuple[str, Object]) -> Object:
    return {"name": name, "permissions": [{"action": action, "http": http} for action, http in allowed]}


def lets_in(cluster: Cluster, principal: str, **request: Any) -> bool:
    return all(passes(rules, Request(principal=principal, **request)) for rules in http_rules(cluster))


def test_without_intentions_all_are_let_in() -> None:
    assert lets_in(consul(), PRODUCTPAGE)
    assert http_rules(consul()) == []


def test_the_exact_source_counts_before_all_others() -> None:
    cluster = consul(intents(source("*"), source("productpage", "allow")))
    assert (lets_in(cluster, PRODUCTPAGE), lets_in(cluster, RATINGS)) == (True, False)
    assert not lets_in(cluster, "")


def test_the_exact_destination_counts_before_any_source() -> None:
    cluster = consul(intents(source("productpage"), to="*"), intents(source("*", "allow")))
    assert lets_in(cluster, PRODUCTPAGE)


def test_a_wildcard_is_for_services_that_have_no_intentions_of_their_own() -> None:
    cluster = consul(intents(source("*"), to="*"), intents(source("*", "allow"), to="ratings"))
    assert not lets_in(cluster, PRODUCTPAGE)


def test_who_has_no_identity_is_kept_out_unless_the_service_is_permissive() -> None:
    strict = consul(intents(source("ratings")))
    assert (lets_in(strict, PRODUCTPAGE), lets_in(strict, "")) == (True, False)
    assert lets_in(consul(defaults(mutualTLSMode="permissive"), intents(source("ratings"))), "")


def test_an_intention_of_requests_is_for_those_only() -> None:
    said = permissions("productpage", ("allow", {"pathExact": "/a"}), ("deny", {"pathPrefix": "/"}))
    cluster = consul(intents(said, source("*")))
    assert lets_in(cluster, PRODUCTPAGE, path="/a")
    assert not lets_in(cluster, PRODUCTPAGE, path="/b")
    assert not lets_in(cluster, RATINGS, path="/a")


def test_connections_that_are_not_of_http_are_denied_where_requests_decide() -> None:
    cluster = consul(intents(permissions("productpage", ("allow", {"pathExact": "/a"}))))
    (rules,) = tcp_rules(cluster)
    assert not passes(rules, Request(principal=PRODUCTPAGE))
    assert passes(rules, Request(principal=RATINGS))


def test_accounts_that_others_have_as_well_let_nobody_in() -> None:
    twin = pod("twin-1", "10.244.0.77", account="productpage")
    allowed = consul(intents(source("*"), source("productpage", "allow"))).add("Pod", twin)
    assert not lets_in(allowed, PRODUCTPAGE)
    denied = consul(intents(source("productpage"))).add("Pod", twin)
    assert not lets_in(denied, PRODUCTPAGE)
    assert "is that of other workloads" in conditions(denied, "ServiceIntentions")["HasFindings"]["message"]


def test_without_a_service_of_the_name_the_account_is_meant() -> None:
    batch = pod("batch-1", "10.244.0.78", account="batch", app="other")
    cluster = consul(intents(source("batch"))).add("Pod", batch)
    assert not lets_in(cluster, SPIFFE.format("default", "batch"))
    told = conditions(consul(intents(source("batch"))), "ServiceIntentions")["HasFindings"]["message"]
    assert "no workload is called default/batch" in told


def test_an_account_is_denied_before_any_workload_is_known_by_it() -> None:
    assert not lets_in(consul(intents(source("batch"))), SPIFFE.format("default", "batch"))
    idle = consul(intents(source("idle"))).add("Service", service("idle", ("http", 80)))
    assert not lets_in(idle, SPIFFE.format("default", "idle"))


def machine(name: str, address: str, account: str, namespace: str = "default") -> Object:
    spec = {"address": address, "serviceAccount": account, "labels": {"app": name}}
    return config("WorkloadEntry", name, spec, namespace=namespace)


def test_machines_are_clients_by_the_services_that_select_them() -> None:
    old = machine("legacy", "172.31.0.9", "old")
    by_service = SPIFFE.format("default", "old")
    denied = consul(intents(source("legacy")), old).add("Service", service("legacy", ("http", 80)))
    assert not lets_in(denied, by_service)
    allowed = consul(intents(source("*"), source("legacy", "allow")), old)
    assert lets_in(allowed.add("Service", service("legacy", ("http", 80))), by_service)


def test_a_machine_that_shares_an_account_lets_nobody_in_by_it() -> None:
    twin = machine("twin", "172.31.0.9", "productpage")
    assert not lets_in(consul(intents(source("*"), source("productpage", "allow")), twin), PRODUCTPAGE)


def test_a_wildcard_is_for_namespaces_of_machines_only() -> None:
    cluster = consul(intents(source("*"), to="*", namespace="vm"), machine("web", "172.31.0.9", "web", "vm"))
    assert {config.namespace for config in policies_of(cluster.snapshot()).values()} == {"vm"}


def test_what_cannot_be_read_lets_nobody_in() -> None:
    bad = config("ServiceIntentions", "reviews", {"destination": {"name": "reviews"}, "sources": [{"name": "a"}]})
    worse = config("ServiceIntentions", "reviews", {"nonsense": 1})
    for each in (bad, worse):
        cluster = consul(each)
        assert not lets_in(cluster, PRODUCTPAGE)
        assert synced(cluster, "ServiceIntentions")[0] == "False"


def test_gateways_and_the_root_namespace_are_not_meant_by_wildcards() -> None:
    gate = pod("gate-1", "10.244.0.50", namespace="istio-system", app="gate", meshed=False)
    cluster = consul(intents(source("*"), to="*", namespace="*")).add("Pod", gate)
    made = cluster.snapshot()
    assert {config.namespace for config in policies_of(made).values()} == {"default"}


def test_of_two_objects_for_one_destination_both_deny_and_the_younger_says_so() -> None:
    younger = intents(source("ratings"), name="younger")
    younger["metadata"]["creationTimestamp"] = "2026-02-01"
    cluster = consul(intents(source("productpage"), name="older"), younger)
    assert (lets_in(cluster, PRODUCTPAGE), lets_in(cluster, RATINGS)) == (False, False)
    told = conditions(cluster, "ServiceIntentions", "younger")["HasFindings"]["message"]
    assert "default/older is for the same destination" in told
    assert "HasFindings" not in conditions(cluster, "ServiceIntentions", "older")


def test_envoy_takes_it(tmp_path: Path) -> None:
    header = {"name": "x", "contains": "a", "ignoreCase": True}
    said = permissions(
        "productpage", ("allow", {"header": [header]}), ("deny", {"pathRegex": "/a.*", "methods": ["GET"]})
    )
    cluster = consul(intents(said, source("*", namespace="other")))
    proxy = cluster.proxy("reviews-v1-abc-1")
    validate(static(Generator().generate(cluster.snapshot(), proxy)), tmp_path)


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"destination": {"name": "a"}, "sources": []}, "spec.sources"),
        ({"sources": [source("a")]}, "spec.destination.name"),
        ({"destination": {"name": "a"}, "sources": [source("a"), source("a")]}, "spec.sources[1]"),
        ({"destination": {"name": "a*"}, "sources": [source("a")]}, "spec.destination.name"),
        (
            {"destination": {"name": "a"}, "sources": [{"name": "a", "action": "allow", "peer": "p"}]},
            "spec.sources[0].peer",
        ),
        (
            {"destination": {"name": "a"}, "sources": [permissions("a", ("allow", {}))]},
            "spec.sources[0].permissions[0].http",
        ),
    ],
)
def test_what_consuls_webhook_refuses_is_refused(spec: Object, path: str) -> None:
    from mesh_lab.controlplane.dialects.consul.checks import problems
    from mesh_lab.controlplane.dialects.consul.kinds import ServiceIntentions
    from mesh_lab.controlplane.model.decoding import decode_as

    assert path in [each.path for each in problems("a", decode_as(ServiceIntentions, spec)) if each.severity == "error"]


# A slow reference: of all intentions for a call the one of the highest precedence decides, by Consul's table.
NAMES = ("productpage", "ratings", "details", "*")
PLACES = ("default", "other", "*")
TESTS = st.sampled_from(
    [
        {"pathExact": "/a"},
        {"pathPrefix": "/a"},
        {"pathRegex": "/[ab]"},
        {"methods": ["GET"]},
        {"header": [{"name": "x", "exact": "1"}]},
        {"header": [{"name": "x", "prefix": "1", "invert": True}], "pathPrefix": "/"},
        {"header": [{"name": "x", "present": True, "invert": True}]},
        {"header": [{"name": "x", "contains": "A", "ignoreCase": True}]},
    ]
)
SAID = st.fixed_dictionaries({"action": st.sampled_from(["allow", "deny"]), "http": TESTS})
WAYS = st.one_of(
    st.sampled_from([{"action": "allow"}, {"action": "deny"}]),
    st.lists(
        st.fixed_dictionaries({"action": st.sampled_from(["allow", "deny"]), "http": TESTS}), min_size=1, max_size=3
    ).map(lambda some: {"permissions": some}),
)


def exact_if(name: str, namespace: str) -> bool:
    return namespace != "*" or name == "*"


SOURCES = st.lists(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(PLACES), WAYS).filter(lambda s: exact_if(s[0], s[1])),
    min_size=1,
    max_size=4,
    unique_by=lambda s: s[:2],
)
DESTINATIONS = st.sampled_from(
    [("reviews", "default"), ("*", "default"), ("*", "*"), ("ratings", "default"), ("*", "other")]
)
WRITTEN = st.lists(st.tuples(DESTINATIONS, SOURCES), min_size=1, max_size=3, unique_by=lambda each: each[0])
REQUESTS = st.builds(
    Request,
    principal=st.sampled_from(
        [SPIFFE.format(n, a) for n in ("default", "other") for a in ("productpage", "ratings", "x")]
    ),
    path=st.sampled_from(["/a", "/ab", "/b"]),
    method=st.sampled_from(["GET", "POST"]),
    headers=st.sampled_from([{}, {"x": "1"}, {"x": "a1"}]),
)


def decided(written: list[Any], request: Request) -> bool:
    """Whether a call to reviews is let in."""
    _, _, _, _, namespace, _, account = request.principal.split("/")
    found = [
        ((place == "*", destination == "*"), (there == "*", name == "*"), way)
        for (destination, place), sources in written
        for name, there, way in sources
        if destination in ("reviews", "*") and place in ("default", "*")
        if name in (account, "*") and there in (namespace, "*")
    ]
    if not found:
        return True
    _, _, way = min(found, key=lambda each: (each[0], each[1]))
    if "action" in way:
        return bool(way["action"] == "allow")
    for permission in way["permissions"]:
        if matches(permission["http"], request):
            return bool(permission["action"] == "allow")
    return True


def matches(http: Object, request: Request) -> bool:
    import re

    tests = {
        "pathExact": lambda v: request.path == v,
        "pathPrefix": request.path.startswith,
        "pathRegex": lambda v: re.fullmatch(v, request.path) is not None,
        "methods": lambda v: request.method in v,
        "header": lambda v: all(header_matches(each, request.headers) for each in v),
    }
    return all(tests[field](value) for field, value in http.items())


def header_matches(test: Object, headers: dict[str, str]) -> bool:
    """As Envoy has it: a header that is missing meets only that it be missing."""
    found, invert = headers.get(test["name"]), test.get("invert", False)
    if test.get("present"):
        return (found is not None) != invert
    if found is None:
        return False
    if "contains" in test:
        return (test["contains"].lower() in found.lower()) != invert
    value = test.get("exact") or test.get("prefix", "")
    return (found == value if "exact" in test else found.startswith(value)) != invert


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(WRITTEN, st.lists(REQUESTS, min_size=1, max_size=4))
def test_intentions_decide_as_a_slow_reference_does(written: list[Any], requests: list[Request]) -> None:
    objects = [
        intents(*({"name": n, "namespace": p, **way} for n, p, way in sources), to=to, namespace=place)
        for (to, place), sources in written
    ]
    cluster = consul(*objects)
    for namespace in ("other",):
        for app in ("productpage", "ratings", "details"):
            cluster.add("Pod", pod(f"{app}-9", f"10.244.9.{len(app)}", namespace=namespace, account=app))
    cluster.add(
        "Pod", pod("x-1", "10.244.9.99", account="x"), pod("x-2", "10.244.9.98", namespace="other", account="x")
    )
    rules = http_rules(cluster)
    for request in requests:
        assert all(passes(each, request) for each in rules) is decided(written, request), request
    assert all(each.action == RBAC.DENY for each in rules)
