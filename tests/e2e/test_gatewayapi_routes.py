"""What HTTPRoutes and GRPCRoutes do with requests, at a Gateway."""

from __future__ import annotations

import time

import pytest

from mesh_lab.testing import Mesh, Numbers, Object, TrafficClient, assert_all, assert_split, eventually

from .gatewayapi import backend, gateway, listener, of, path, route, rule, version_services, wait_programmed

PORT = 8080
V1, V2 = backend("echo-v1"), backend("echo-v2")


@pytest.fixture(scope="module")
def shop(gateway_api: None, mesh_shared: Mesh, outside: Mesh) -> Mesh:
    mesh_shared.deploy_echo("echo", ("v1", "v2"))
    outside.deploy_client("visitor")
    mesh_shared.apply([*version_services(), gateway("front", listener("http", PORT))])
    mesh_shared.ready()
    outside.ready()
    wait_programmed(mesh_shared, "front")
    for name, count in (("echo", 2), ("echo-v1", 1), ("echo-v2", 1)):
        mesh_shared.wait_endpoints(name, count)
    return mesh_shared


@pytest.fixture
def visitor(outside: Mesh) -> TrafficClient:
    return outside.client("visitor")


@pytest.fixture
def url(shop: Mesh) -> str:
    return f"http://front-istio.{shop.namespace}:{PORT}"


def at_front(*rules: Object, name: str = "shop", **more: object) -> Object:
    return route(name, of("front"), *rules, **more)


# What a rule matches on, a request that it is for, and one that only looks like it.
MATCHES: dict[str, tuple[Object, Object, Object]] = {
    "header": (
        {"headers": [{"name": "End-User", "value": "jason"}]},
        {"headers": {"end-user": "jason"}},
        {"headers": {"end-user": "jason2"}},
    ),
    "header by expression": (
        {"headers": [{"name": "cookie", "value": "(.*?;)?(user=jason)(;.*)?", "type": "RegularExpression"}]},
        {"headers": {"cookie": "a=b;user=jason"}},
        {"headers": {"cookie": "user=jasona"}},
    ),
    "method": ({"method": "POST"}, {"method": "POST"}, {"method": "GET"}),
    "path": (path("/new"), {"path": "/new/page"}, {"path": "/newer"}),
    "whole path": (path("/new", "Exact"), {"path": "/new"}, {"path": "/new/page"}),
    "path by expression": (path("/v[0-9]+/.*", "RegularExpression"), {"path": "/v12/x"}, {"path": "/vx/12"}),
    "query": (
        {"queryParams": [{"name": "debug", "value": "1"}]},
        {"path": "/?debug=1"},
        {"path": "/?debug=11"},
    ),
}


def shown(kind: str) -> object:
    """A kind as a parameter, marked as the case that it shows."""
    feature = f"ingress/match-{kind.replace(' ', '-')}"
    return pytest.param(kind, marks=pytest.mark.mesh_feature(feature, protocol="http1", api="httproute"))


@pytest.mark.parametrize("kind", [shown(kind) for kind in MATCHES])
def test_a_request_is_routed_by_its(shop: Mesh, visitor: TrafficClient, url: str, kind: str) -> None:
    match, matching, other = MATCHES[kind]
    # Of two kinds of path that match, one by expression comes last.
    rest = path("/.*", "RegularExpression")
    with shop.applied(at_front(rule(V1, matches=[rest]), rule(V2, matches=[match]))):
        for request, version in ((matching, "v2"), (other, "v1")):
            options = dict(request)
            assert_all(visitor.send(url + options.pop("path", "/"), 5, **options), version=version)


@pytest.mark.mesh_feature("ingress/split", protocol="http1", api="httproute")
def test_requests_are_split_by_weight(shop: Mesh, visitor: TrafficClient, url: str, mesh_record: Numbers) -> None:
    split = rule({**V1, "weight": 90}, {**V2, "weight": 10})
    with shop.applied(at_front(split)):
        results = visitor.send(f"{url}/", 1000, concurrency=10)
    mesh_record(requests_count=len(results), v2_ratio=results.versions()["v2"] / len(results))
    assert_split(results, {"v1": 90, "v2": 10})


@pytest.mark.mesh_feature("ingress/redirect", protocol="http1", api="httproute")
def test_a_rule_redirects(shop: Mesh, visitor: TrafficClient, url: str) -> None:
    to = {"scheme": "https", "hostname": "elsewhere.example", "statusCode": 301}
    to |= {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/new"}}
    old = {"matches": [path("/old")], "filters": [{"type": "RequestRedirect", "requestRedirect": to}]}
    with shop.applied(at_front(old, rule(V1))):
        (result,) = visitor.send(f"{url}/old/page", show_header=["location"])
        assert (result.status, result.headers) == (301, {"location": "https://elsewhere.example/new/page"})


@pytest.mark.mesh_feature("ingress/rewrite", protocol="http1", api="httproute")
@pytest.mark.mesh_feature("ingress/headers", protocol="http1", api="httproute")
def test_a_rule_rewrites_and_changes_headers(shop: Mesh, visitor: TrafficClient, url: str) -> None:
    to = {"hostname": "inner.example", "path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/v2"}}
    added = [{"name": "x-added", "value": "by-the-mesh"}]
    filters = [
        {"type": "URLRewrite", "urlRewrite": to},
        {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": added, "remove": ["x-secret"]}},
        {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"add": [{"name": "x-answered", "value": "yes"}]}},
    ]
    with shop.applied(at_front(rule(V1, matches=[path("/shop")], filters=filters))):
        options = {"headers": {"x-secret": "1"}, "show_body": True, "show_header": ["x-answered"]}
        (result,) = visitor.send(f"{url}/shop/list", **options)
    seen = result.json
    assert (seen["path"], seen["headers"]["host"]) == ("/v2/list", "inner.example")
    assert seen["headers"]["x-added"] == "by-the-mesh"
    assert "x-secret" not in seen["headers"]
    assert result.headers == {"x-answered": "yes"}


@pytest.mark.mesh_feature("ingress/mirror", protocol="http1", api="httproute")
def test_a_mirror_gets_a_copy_of_every_request(shop: Mesh, visitor: TrafficClient, url: str) -> None:
    server, shadow = shop.echo(version="v1"), shop.echo(version="v2")
    server.reset()
    shadow.reset()
    copied = {"type": "RequestMirror", "requestMirror": {"backendRef": V2}}
    with shop.applied(at_front(rule(V1, filters=[copied]))):
        assert_all(visitor.send(f"{url}/", 40), version="v1")
        on_their_way = "nobody waits for the answers to copies"
        eventually(lambda: shadow.counts()["total"] >= 40, timeout=10, why=on_their_way)
    # A gateway gives requests from outside ids of its own, which copies share.
    assert shadow.counts()["attempts"] == server.counts()["attempts"]


@pytest.mark.mesh_feature("ingress/timeout", protocol="http1", api="httproute")
def test_a_request_that_takes_too_long_is_ended(shop: Mesh, visitor: TrafficClient, url: str) -> None:
    with shop.applied(at_front(rule(V1, timeouts={"request": "500ms"}))):
        started = time.monotonic()
        assert_all(visitor.send(f"{url}/?delay=20", 1), status=504)
        assert time.monotonic() - started < 10, "not after the twenty seconds of the server"
        assert_all(visitor.send(f"{url}/", 3), version="v1")


@pytest.mark.mesh_feature("ingress/cors", protocol="http1", api="httproute")
def test_a_page_of_another_origin_is_told_what_it_may(shop: Mesh, visitor: TrafficClient, url: str) -> None:
    cors = {"allowOrigins": ["https://*.example"], "allowMethods": ["GET", "PUT"], "maxAge": 3600}
    shown = ["access-control-allow-origin", "access-control-allow-methods", "access-control-max-age"]
    with shop.applied(at_front(rule(V1, filters=[{"type": "CORS", "cors": cors}]))):
        mine, other = (
            visitor.send(
                f"{url}/",
                method="OPTIONS",
                headers={"origin": origin, "access-control-request-method": "PUT"},
                show_header=shown,
            )[0]
            for origin in ("https://a.example", "https://a.elsewhere")
        )
    assert mine.headers["access-control-allow-origin"] == "https://a.example"
    assert mine.headers["access-control-allow-methods"].replace(" ", "") == "GET,PUT"
    assert mine.headers["access-control-max-age"] == "3600"
    assert "access-control-allow-origin" not in other.headers


@pytest.mark.mesh_feature("ingress/match-method", protocol="grpc", api="grpcroute")
def test_calls_are_routed_by_service_and_method(shop: Mesh, visitor: TrafficClient, url: str) -> None:
    """A call is a request over HTTP/2 to /SERVICE/METHOD, which the echo server answers like any other."""
    new = rule(V2, matches=[{"method": {"service": "shop.Cart", "method": "Add"}}])
    rest = rule(V1, matches=[{"method": {"service": "shop.Cart"}}])
    with shop.applied(at_front(new, rest, kind="GRPCRoute")):
        call = {"method": "POST", "http2": True, "headers": {"content-type": "application/grpc"}}
        assert_all(visitor.send(f"{url}/shop.Cart/Add", 5, **call), version="v2")
        assert_all(visitor.send(f"{url}/shop.Cart/List", 5, **call), version="v1")
        other = visitor.send(f"{url}/shop.Other/Add", show_header=["grpc-status"], **call)[0]
        assert other.version == "", "no rule is for that service"


def test_of_two_routes_the_more_specific_rule_counts_and_then_the_older_one(
    shop: Mesh, visitor: TrafficClient, url: str
) -> None:
    everything = at_front(rule(V1), name="z-older")
    narrow = at_front(rule(V2, matches=[path("/new")]), rule(V2), name="a-younger")
    with shop.applied(everything):
        time.sleep(1)  # a time of creation is in whole seconds
        with shop.applied(narrow):
            assert_all(visitor.send(f"{url}/new/1", 5), version="v2")
            assert_all(visitor.send(f"{url}/", 5), version="v1")
