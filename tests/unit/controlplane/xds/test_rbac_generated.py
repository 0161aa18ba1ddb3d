"""Policies that nobody wrote: what is understood holds as Istio says, and what is damaged lets in no more."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from envoy.config.rbac.v3.rbac_pb2 import RBAC
from envoy.extensions.filters.http.rbac.v3.rbac_pb2 import RBACPerRoute
from envoy.extensions.filters.network.rbac.v3.rbac_pb2 import RBAC as NetworkRBAC  # noqa: N811 - a message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mesh_lab.controlplane.istiokinds import decode, validate
from mesh_lab.controlplane.model import AuthorizationPolicy
from mesh_lab.controlplane.xds import Generator
from mesh_lab.controlplane.xds.rbac import Authorization, authorization_of, network_filters, route_filters
from tests.unit.controlplane.cluster import Cluster, bookinfo, config
from tests.unit.controlplane.envoy import static
from tests.unit.controlplane.envoy import validate as validate_by_envoy
from tests.unit.controlplane.xds import reference
from tests.unit.controlplane.xds.judging import Request, passes

VALUES: dict[str, list[str]] = {
    "principals": [
        "cluster.local/ns/default/sa/productpage",
        "cluster.local/ns/a/*",
        "*/sa/productpage",
        "*",
        "other/*",
    ],
    "namespaces": ["default", "a", "a*", "*"],
    "serviceAccounts": ["productpage", "a/productpage"],
    "trustDomains": ["cluster.local", "other", "*.local", "clu*", "*"],
    "ipBlocks": ["10.244.0.9", "10.0.0.0/8", "10.244.1.0/24", "fe80::/10"],
    "remoteIpBlocks": ["10.244.0.0/24", "1.1.1.1"],
    "requestPrincipals": ["*", "issuer/me", "issuer/*", "*/me", "iss*", "*e"],
    "hosts": ["Reviews:9080", "*.example.com", "rev*"],
    "methods": ["GET", "P*", "*"],
    "paths": ["/a", "/a/*", "*/b", "/{*}/b", "/a/{**}", "*"],
    "ports": ["9080", "80"],
}
SOURCES = (
    "principals",
    "namespaces",
    "serviceAccounts",
    "trustDomains",
    "ipBlocks",
    "remoteIpBlocks",
    "requestPrincipals",
)
OPERATIONS = ("hosts", "methods", "paths", "ports")
CONDITIONS: dict[str, list[str]] = {
    "source.principal": VALUES["principals"],
    "source.namespace": VALUES["namespaces"],
    "source.serviceAccount": VALUES["serviceAccounts"],
    "source.trustDomain": VALUES["trustDomains"],
    "source.ip": VALUES["ipBlocks"],
    "remote.ip": VALUES["remoteIpBlocks"],
    "destination.port": VALUES["ports"],
    "request.auth.principal": ["*", "issuer/me", "https://a/b/*"],
    "request.auth.audiences": ["shop", "sh*"],
    "request.auth.presenter": ["app"],
    "request.auth.claims[group]": ["admins", "*", "ad*"],
    "request.auth.claims[org][team]": ["red", "*d"],
    "experimental.envoy.filters.network.mysql_proxy[db.table]": ["[x]", "x"],
    "request.headers[x-user]": ["jason", "j*", "*n", "*"],
}


def fields(names: tuple[str, ...]) -> st.SearchStrategy[dict[str, list[str]]]:
    each = {
        spelled: st.lists(st.sampled_from(VALUES[name]), min_size=1, max_size=3, unique=True)
        for name in names
        for spelled in (name, f"not{name[0].upper()}{name[1:]}")
    }
    return st.fixed_dictionaries({}, optional=each).filter(bool)


@st.composite
def conditions(draw: st.DrawFn) -> dict[str, Any]:
    key = draw(st.sampled_from(list(CONDITIONS)))
    some = st.lists(st.sampled_from(CONDITIONS[key]), min_size=1, max_size=2, unique=True)
    parts = draw(st.fixed_dictionaries({}, optional={"values": some, "notValues": some}).filter(bool))
    return {"key": key, **parts}


RULES = st.fixed_dictionaries(
    {},
    optional={
        "from": st.lists(st.fixed_dictionaries({"source": fields(SOURCES)}), min_size=1, max_size=2),
        "to": st.lists(st.fixed_dictionaries({"operation": fields(OPERATIONS)}), min_size=1, max_size=2),
        "when": st.lists(conditions(), min_size=1, max_size=2),
    },
)


@st.composite
def policies(draw: st.DrawFn) -> dict[str, Any]:
    spec = {
        "action": draw(st.sampled_from(["ALLOW", "DENY", "CUSTOM"])),
        "rules": draw(st.lists(RULES, min_size=1, max_size=3)),
        "selector": {"matchLabels": {"app": draw(st.sampled_from(["reviews", "reviews", "ratings"]))}},
    }
    return spec | ({"provider": {"name": "mine"}} if spec["action"] == "CUSTOM" else {})


REQUESTS = st.builds(
    Request,
    principal=st.sampled_from(
        [
            "",
            *(
                f"spiffe://{d}/ns/{n}/sa/{a}"
                for d in ("cluster.local", "other")
                for n in ("default", "a", "ab")
                for a in ("productpage", "x")
            ),
        ]
    ),
    method=st.sampled_from(["GET", "POST"]),
    path=st.sampled_from(["/", "/a", "/a/b", "/a/b/c", "/x/b"]),
    host=st.sampled_from(["reviews:9080", "a.example.com"]),
    port=st.sampled_from([9080, 80]),
    ip=st.sampled_from(["10.244.0.9", "10.244.1.1", "192.168.0.1"]),
    headers=st.sampled_from([{}, {"x-user": ""}, {"x-user": "jason"}, {"x-user": "an"}]),
    claims=st.sampled_from(
        [
            {},
            {"iss": "issuer", "sub": "me", "aud": ["shop"], "azp": "app", "group": ["users", "admins"]},
            {"iss": "https://a/b", "sub": "you", "aud": "shop", "group": "admins", "org": {"team": "red"}},
            {"iss": "issuer", "sub": "you", "group": "users", "org": {"team": ["blue", "green"]}},
        ]
    ),
)
EXAMPLES = 50
BATCH = st.lists(REQUESTS, min_size=12, max_size=12)
FAST = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


def understood(spec: dict[str, Any]) -> bool:
    return not [each for each in validate(decode("AuthorizationPolicy", spec)) if each.severity == "error"]


def concerned(*specs: Any) -> Authorization:
    """What holds for a pod of reviews."""
    cluster = Cluster()
    for number, spec in enumerate(specs):
        cluster.istio(config("AuthorizationPolicy", f"p{number}", spec))
    table = cluster.snapshot().of(AuthorizationPolicy)
    return authorization_of(table, "default", (("app", "reviews"),), "istio-system")


def lets_in(authorization: Authorization, request: Request, *, tcp: bool) -> bool:
    return all(passes(rules, request) for rules in enforced(authorization, tcp=tcp))


def enforced(authorization: Authorization, *, tcp: bool) -> Iterator[RBAC]:
    """The rules of all filters, in the order in which they are asked."""
    if tcp:
        for each in network_filters(authorization, ("cluster.local",)):
            network = NetworkRBAC()
            assert each.typed_config.Unpack(network)
            yield network.rules
        return
    for packed in route_filters(authorization, ("cluster.local",)).values():
        http = RBACPerRoute()
        assert packed.Unpack(http)
        yield http.rbac.rules


@FAST
@given(st.lists(policies(), min_size=1, max_size=3), BATCH, st.booleans())
def test_what_is_understood_holds_as_istio_says_and_nothing_lets_in_more(
    specs: list[dict[str, Any]], requests: list[Request], tcp: bool
) -> None:
    authorization = concerned(*specs)
    mine = [spec for spec in specs if spec["selector"]["matchLabels"]["app"] == "reviews"]
    exactly = all(understood(spec) for spec in mine)
    for request in requests:
        here, there = lets_in(authorization, request, tcp=tcp), reference.lets_in(mine, request, tcp=tcp)
        assert here is there if exactly else there or not here


# What no policy can mean: another type, in place of anything.
NONSENSE = st.sampled_from([7, "nonsense", [7], {"nonsense": 7}, [[]], {"nonsense": {}}, True])


@st.composite
def damaged(draw: st.DrawFn, spec: dict[str, Any]) -> Any:
    """A policy with something unknown in it, or something else in the place of anything."""
    result = copy.deepcopy(spec)
    places = list(_places(result))
    holder, key = draw(st.sampled_from(places))
    value = holder[key]
    if isinstance(value, dict) and key != "matchLabels" and draw(st.booleans()):
        value["nonsense"] = draw(NONSENSE)
    else:
        holder[key] = draw(NONSENSE.filter(lambda other: not _fits(value, other)))
    return result


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield value, key
        yield from _places(inner)


def _fits(value: Any, other: Any) -> bool:
    """A text in place of a text can mean something, and so can an empty list."""
    return isinstance(other, str) and isinstance(value, str)


@FAST
@given(st.data(), policies(), st.lists(policies(), max_size=1), BATCH, st.booleans())
def test_damage_lets_in_no_more_than_the_policy_did(
    data: st.DataObject, spec: dict[str, Any], beside: list[dict[str, Any]], requests: list[Request], tcp: bool
) -> None:
    before, after = concerned(spec, *beside), concerned(data.draw(damaged(spec)), *beside)
    for request in requests:
        assert lets_in(before, request, tcp=tcp) or not lets_in(after, request, tcp=tcp)


TEXTS = st.text(max_size=12) | st.text("*{}/.[]\\()+-:%0189ａé\0\r\n ", max_size=12)


@st.composite
def odd(draw: st.DrawFn) -> dict[str, Any]:
    """A policy of the right shape, with any text where a text belongs."""
    spec = draw(policies())
    for holder, key in list(_places(spec["rules"])):
        if isinstance(holder[key], str) and draw(st.booleans()):
            holder[key] = draw(TEXTS)
    return spec


def test_envoy_takes_whatever_text_is_in_a_policy(tmp_path: Path) -> None:
    """All policies of a run are for one pod, so that Envoy is asked once."""
    found: list[dict[str, Any]] = []

    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(odd())
    def collect(spec: dict[str, Any]) -> None:
        found.append(spec)

    collect()
    cluster = bookinfo()
    for number, spec in enumerate(found):
        cluster.istio(config("AuthorizationPolicy", f"p{number}", {**spec, "selector": REVIEWS_ONLY}))
    validate_by_envoy(static(Generator().generate(cluster.snapshot(), cluster.proxy("reviews-v1-abc-1"))), tmp_path)


REVIEWS_ONLY = {"matchLabels": {"app": "reviews"}}
