"""Routing by what a request says, and what a route changes about it."""

from __future__ import annotations

import pytest

from mesh_lab.harness.statistics import FALSE_ALARM, binomial_interval
from mesh_lab.testing import (
    Mesh,
    Object,
    Results,
    TrafficClient,
    assert_all,
    destination_rule,
    route,
    service,
    sidecar,
    to,
    virtual_service,
)

V1, V2 = to("echo", "v1"), to("echo", "v2")


@pytest.fixture(scope="module")
def shop(mesh_shared: Mesh) -> Mesh:
    mesh_shared.deploy_echo("echo", ("v1", "v2"))
    mesh_shared.deploy_client()
    mesh_shared.deploy_client("tester", labels={"role": "tester"})
    mesh_shared.apply(destination_rule("echo", "v1", "v2"))
    mesh_shared.ready()
    mesh_shared.wait_endpoints("echo", 2)
    return mesh_shared


# What a rule matches on, a request that it is for, and one that only looks like it.
MATCHES: dict[str, tuple[Object, Object, Object]] = {
    "header": (
        {"headers": {"end-user": {"exact": "jason"}}},
        {"headers": {"end-user": "jason"}},
        {"headers": {"end-user": "jason2"}},
    ),
    "header-prefix": (
        {"headers": {"x-group": {"prefix": "beta-"}}},
        {"headers": {"x-group": "beta-7"}},
        {"headers": {"x-group": "7-beta"}},
    ),
    "header-regex": (
        {"headers": {"cookie": {"regex": "^(.*?;)?(user=jason)(;.*)?$"}}},
        {"headers": {"cookie": "a=b;user=jason"}},
        {"headers": {"cookie": "user=jasona"}},
    ),
    "method": ({"method": {"exact": "POST"}}, {"method": "POST"}, {"method": "GET"}),
    "path": ({"uri": {"prefix": "/new"}}, {"path": "/new/page"}, {"path": "/old/new"}),
    "whole path": ({"uri": {"exact": "/New"}, "ignoreUriCase": True}, {"path": "/nEW"}, {"path": "/new/page"}),
    "path by expression": ({"uri": {"regex": "/v[0-9]+/.*"}}, {"path": "/v12/x"}, {"path": "/vx/12"}),
    "missing header": (
        {"withoutHeaders": {"x-old": {}}},
        {"headers": {"x-new": "1"}},
        {"headers": {"x-old": "1"}},
    ),
    "other header": (
        {"withoutHeaders": {"x-group": {"exact": "a"}}},
        {"headers": {"x-group": "b"}},
        {"headers": {"x-group": "a"}},
    ),
    "scheme": ({"scheme": {"exact": "http"}, "port": 80}, {}, {"url": "http://echo:81", "http2": True}),
    "port": ({"port": 81}, {"url": "http://echo:81", "http2": True}, {}),
    "query": ({"queryParams": {"debug": {"exact": "1"}}}, {"path": "/?debug=1"}, {"path": "/?debug=11"}),
}


def shown(kind: str) -> object:
    """A kind as a parameter, marked as the case that it shows."""
    feature = f"match/{kind.replace(' ', '-')}"
    return pytest.param(kind, marks=pytest.mark.mesh_feature(feature, protocol="http1", api="virtualservice"))


@pytest.mark.parametrize("kind", [shown(kind) for kind in MATCHES])
def test_a_request_is_routed_by_its(shop: Mesh, client: TrafficClient, kind: str) -> None:
    match, matching, other = MATCHES[kind]
    with shop.applied(virtual_service("echo", route(V2, match=[match]), route(V1))):
        assert_all(_send(client, matching), version="v2")
        assert_all(_send(client, other), version="v1")


def _send(client: TrafficClient, request: Object) -> Results:
    options = dict(request)
    return client.send(options.pop("url", "http://echo") + options.pop("path", "/"), 10, **options)


def test_a_client_is_routed_by_its_labels(shop: Mesh, client: TrafficClient) -> None:
    match = [{"sourceLabels": {"role": "tester"}}]
    with shop.applied(virtual_service("echo", route(V2, match=match), route(V1))):
        assert_all(shop.client("tester").send("http://echo", 10), version="v2")
        assert_all(client.send("http://echo", 10), version="v1")


def test_a_route_rewrites_the_path_and_changes_headers(shop: Mesh, client: TrafficClient) -> None:
    headers = {
        "request": {"set": {"x-added": "by-the-mesh"}, "remove": ["x-secret"]},
        "response": {"set": {"x-answered": "yes"}},
    }
    rule = route(V1, match=[{"uri": {"prefix": "/shop"}}], rewrite={"uri": "/v2/shop"}, headers=headers)
    with shop.applied(virtual_service("echo", rule)):
        options = {"headers": {"x-secret": "1"}, "show_body": True, "show_header": ["x-answered"]}
        result = client.send("http://echo/shop/list", **options)[0]
    seen = result.json
    assert seen["path"] == "/v2/shop/list"
    assert seen["headers"]["x-added"] == "by-the-mesh"
    assert "x-secret" not in seen["headers"]
    assert result.headers == {"x-answered": "yes"}


def test_a_client_is_routed_by_its_namespace(shop: Mesh, client: TrafficClient) -> None:
    rules = route(V2, match=[{"sourceNamespace": shop.namespace}]), route(V1)
    with shop.applied(virtual_service("echo", *rules)):
        assert_all(client.send("http://echo", 10), version="v2")
    rules = route(V2, match=[{"sourceNamespace": "elsewhere"}]), route(V1)
    with shop.applied(virtual_service("echo", *rules)):
        assert_all(client.send("http://echo", 10), version="v1")


def test_a_client_that_no_rule_is_for_is_served_all_the_same(shop: Mesh, client: TrafficClient) -> None:
    with shop.applied(virtual_service("echo", route(V2, match=[{"sourceLabels": {"role": "tester"}}]))):
        assert_all(shop.client("tester").send("http://echo", 10), version="v2")
        results = client.send("http://echo", 60)
    assert_all(results)
    assert len(results.counts("version")) == 2, "once in 2**59 runs all go to one"


def test_the_host_is_rewritten_and_an_expression_rewrites_the_path(shop: Mesh, client: TrafficClient) -> None:
    rewrite = {"authority": "elsewhere.example", "uriRegexRewrite": {"match": "^/([a-z]+)/(.*)$", "rewrite": r"/\2/\1"}}
    with shop.applied(virtual_service("echo", route(V1, rewrite=rewrite))):
        seen = client.send("http://echo/shop/list?a=b", show_body=True)[0].json
    assert (seen["path"], seen["query"]) == ("/list/shop", {"a": "b"})
    assert seen["headers"]["host"] == "elsewhere.example"


def test_each_destination_changes_headers_of_its_own(shop: Mesh, client: TrafficClient) -> None:
    def shown(version: str) -> Object:
        return {**to("echo", version, 50), "headers": {"response": {"set": {"x-served": version}}}}

    with shop.applied(virtual_service("echo", route(shown("v1"), shown("v2")))):
        results = client.send("http://echo", 60, show_header=["x-served"])
    assert_all(results)
    assert [result.headers["x-served"] for result in results] == [result.version for result in results]
    assert len(results.counts("version")) == 2, "once in 2**59 runs all go to one"


def test_a_route_answers_by_itself(shop: Mesh, client: TrafficClient) -> None:
    server = shop.echo(version="v1")
    server.reset()
    with shop.applied(virtual_service("echo", {"directResponse": {"status": 418, "body": {"string": "tea"}}})):
        result = client.send("http://echo", show_body=True)[0]
    assert (result.status, result.body) == (418, "tea")
    assert server.counts()["total"] == 0


def test_a_page_of_another_origin_is_told_what_it_may(shop: Mesh, client: TrafficClient) -> None:
    cors = {"allowOrigins": [{"exact": "https://a.example"}], "allowMethods": ["GET", "PUT"], "maxAge": "1h"}
    shown = ["access-control-allow-origin", "access-control-allow-methods", "access-control-max-age"]
    ask = {"access-control-request-method": "PUT"}
    with shop.applied(virtual_service("echo", route(V1, corsPolicy=cors))):
        mine, other = (
            client.send("http://echo", method="OPTIONS", headers={"origin": origin, **ask}, show_header=shown)[0]
            for origin in ("https://a.example", "https://b.example")
        )
    assert mine.headers == dict(zip(shown, ("https://a.example", "GET,PUT", "3600"), strict=True))
    assert other.headers == {}


def test_a_route_redirects(shop: Mesh, client: TrafficClient) -> None:
    rule = {"match": [{"uri": {"exact": "/old"}}], "redirect": {"uri": "/new", "authority": "elsewhere.example"}}
    with shop.applied(virtual_service("echo", rule, route(V1))):
        result = client.send("http://echo/old", show_header=["location"])[0]
    assert (result.status, result.headers) == (301, {"location": "http://elsewhere.example/new"})


def test_a_mirror_gets_a_copy_of_every_request_and_nobody_sees_its_answers(shop: Mesh, client: TrafficClient) -> None:
    shadow = shop.echo(version="v2")
    shadow.reset()
    rule = route(V1, mirror={"host": "echo", "subset": "v2"}, mirrorPercentage={"value": 100})
    with shop.applied(virtual_service("echo", rule)):
        results = client.send("http://echo", 40, distinct_ids=True)
    assert_all(results, version="v1")
    assert set(shadow.counts()["attempts"]) == {result.id for result in results}


def test_a_mirror_gets_a_copy_of_the_stated_share(shop: Mesh, client: TrafficClient) -> None:
    shadow = shop.echo(version="v2")
    shadow.reset()
    rule = route(V1, mirror={"host": "echo", "subset": "v2"}, mirrorPercentage={"value": 30})
    with shop.applied(virtual_service("echo", rule)):
        results = client.send("http://echo", 600, concurrency=10, distinct_ids=True)
    assert_all(results, version="v1")
    accepted = binomial_interval(len(results), 0.3, FALSE_ALARM)
    copies = len(shadow.counts()["attempts"])
    assert copies in accepted, f"{copies} of {len(results)}, accepted {accepted}"


def test_a_port_that_names_no_protocol_takes_requests_and_connections(shop: Mesh, client: TrafficClient) -> None:
    ports = ("kafka", 9100, 9000), ("loc-p1", 8100, 8080)
    with shop.applied(
        [service("odd", {"app": "echo"}, *ports), virtual_service("odd", route(to("echo", "v1", port=80)))]
    ):
        shop.wait_endpoints("odd", 2)
        answers = client.send("tcp://odd:9100", 10, body="good day\n", show_body=True)
        assert_all(answers)
        assert all(answer.body.endswith(" good day\n") for answer in answers)
        assert_all(client.send("http://odd:8100", 20), version="v1")


def test_a_destination_that_a_sidecar_does_not_list_is_reached_by_way_of_a_virtual_service(
    shop: Mesh, client: TrafficClient
) -> None:
    only_echo = sidecar("client", f"./echo.{shop.namespace}.svc.cluster.local", "istio-system/*")
    other = service("other", {"app": "echo", "version": "v2"}, ("http", 80, 8080))
    with shop.applied([other, only_echo, virtual_service("echo", route(to("other")))]):
        shop.wait_endpoints("other", 1)
        assert_all(client.send("http://echo", 20), version="v2")


def delegate(*rules: Object) -> Object:
    made = virtual_service("unused", *rules, name="part")
    del made["spec"]["hosts"]
    return made


def handing_on(prefix: str) -> Object:
    handed = {"match": [{"uri": {"prefix": prefix}}], "delegate": {"name": "part"}}
    return virtual_service("echo", handed, route(to("echo", "v1")))


def test_a_delegate_decides_what_becomes_of_the_requests_that_it_is_handed(shop: Mesh, client: TrafficClient) -> None:
    new = route(to("echo", "v2"), match=[{"uri": {"prefix": "/shop/new"}}])
    with shop.applied([delegate(new, route(to("echo", "v1"))), handing_on("/shop")]):
        assert_all(client.send("http://echo/shop/new", 10), version="v2")
        assert_all(client.send("http://echo/shop/old", 10), version="v1")
        assert_all(client.send("http://echo/new", 10), version="v1")
        (ref,) = shop.apply(delegate(route(to("echo", "v2"))))
        shop.wait_live(ref)
        assert_all(client.send("http://echo/shop/old", 10), version="v2")
