"""What VirtualService and HTTPRoute can both say comes out the same: matches, splits, redirects, rewrites and so on.

Each case is written as a VirtualService's rules; `translation` says them as an HTTPRoute. Where Envoy is meant to get
something else of an HTTPRoute, the specification's reason stands in `DIFFERENCES`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from envoy.config.route.v3.route_components_pb2 import Route

from tests.unit.controlplane.cluster import Cluster, bookinfo, config
from tests.unit.controlplane.envoy import static, validate
from tests.unit.controlplane.xds.gatewayapi.objects import POD, edge, made
from tests.unit.controlplane.xds.gatewayapi.translation import http_rule
from tests.unit.controlplane.xds.translated import CLIENT, hosts_of, resources

Object = dict[str, Any]
CREATED = "2026-01-01"
RETRIED = "connect-failure,refused-stream,unavailable,cancelled,reset"


def to(name: str = "reviews", **more: Any) -> Object:
    return {"destination": {"host": name, "port": {"number": 9080}}, **more}


def when(*matches: Object, **more: Any) -> Object:
    return {"match": list(matches), "route": [to()], **more}


def changed(**more: Any) -> Object:
    return {"match": [{"uri": {"prefix": "/old"}}], "route": [to()], **more}


SHARED: Object = {"x-added": "1"}
SAME_PORT = {"derivePort": "FROM_REQUEST_PORT"}
"""What an HTTPRoute's redirect does that names no port."""
CASES: dict[str, list[Object]] = {
    # matches
    "everything": [{"route": [to()]}],
    "a whole path": [when({"uri": {"exact": "/a"}})],
    "a path's beginning": [when({"uri": {"prefix": "/a"}})],
    "a path by expression": [when({"uri": {"regex": "/v[0-9]+/.*"}})],
    "a header": [when({"uri": {"prefix": "/"}, "headers": {"end-user": {"exact": "jason"}}})],
    "a header by expression": [when({"uri": {"prefix": "/"}, "headers": {"cookie": {"regex": ".*user=jason.*"}}})],
    "a method": [when({"uri": {"prefix": "/"}, "method": {"exact": "POST"}})],
    "a parameter": [when({"uri": {"prefix": "/"}, "queryParams": {"debug": {"exact": "1"}, "v": {"regex": "[12]"}}})],
    "conditions that must all hold": [
        when({"uri": {"exact": "/a"}, "method": {"exact": "GET"}, "headers": {"x": {"exact": "1"}}})
    ],
    "one of several conditions": [when({"uri": {"exact": "/long"}}, {"uri": {"exact": "/a"}})],
    # precedence, in the order in which an HTTPRoute's rules are sorted
    "exact before a beginning, and the rest": [
        when({"uri": {"exact": "/shop"}}),
        when({"uri": {"prefix": "/shop/new"}}, route=[to("ratings")]),
        when({"uri": {"prefix": "/shop"}}, route=[to("details")]),
        {"route": [to()]},
    ],
    "more headers first": [
        when({"uri": {"prefix": "/"}, "headers": {"a": {"exact": "1"}, "b": {"exact": "1"}}}),
        when({"uri": {"prefix": "/"}, "headers": {"a": {"exact": "1"}}}, route=[to("ratings")]),
        {"route": [to("details")]},
    ],
    # splits
    "a split": [{"route": [to(weight=90), to("ratings", weight=10)]}],
    "a share of nothing": [{"route": [to(weight=1), to("ratings", weight=0)]}],
    "headers of one share": [{"route": [to(weight=1, headers={"response": {"set": SHARED}}), to("ratings", weight=1)]}],
    # headers
    "headers of requests": [
        {"route": [to()], "headers": {"request": {"set": SHARED, "add": {"y": "2"}, "remove": ["z"]}}}
    ],
    "headers of answers": [{"route": [to()], "headers": {"response": {"add": SHARED, "remove": ["server"]}}}],
    # redirects
    "a redirect of the host": [{"redirect": {"authority": "b.example", **SAME_PORT}}],
    "a redirect with a code": [{"redirect": {"authority": "b.example", "redirectCode": 307, **SAME_PORT}}],
    "a redirect to a port": [{"redirect": {"authority": "b.example", "port": 8443}}],
    # rewrites
    "a rewrite of the host": [{"route": [to()], "rewrite": {"authority": "b.example"}}],
    "a rewrite of the beginning": [changed(rewrite={"uriRegexRewrite": {"match": "^/old", "rewrite": "/new"}})],
    "a rewrite of all of the path": [changed(rewrite={"uriRegexRewrite": {"match": "^.*$", "rewrite": "/new"}})],
    # mirrors
    "a mirror": [{"route": [to()], "mirrors": [{"destination": to("ratings")["destination"]}]}],
    "a mirror of a share": [
        {"route": [to()], "mirrors": [{"destination": to("ratings")["destination"], "percentage": {"value": 30}}]}
    ],
    "two mirrors": [
        {"route": [to()], "mirrors": [{"destination": to(name)["destination"]} for name in ("ratings", "details")]}
    ],
    # timeouts and retries
    "a timeout": [{"route": [to()], "timeout": "2s"}],
    "retries": [{"route": [to()], "retries": {"attempts": 3, "retryOn": f"{RETRIED},503,500"}}],
    "retries with limits": [
        {
            "route": [to()],
            "timeout": "5s",
            "retries": {"attempts": 3, "retryOn": f"{RETRIED},503", "perTryTimeout": "500ms", "backoff": "10ms"},
        }
    ],
    # other origins
    "other origins": [
        {
            "route": [to()],
            "corsPolicy": {
                "allowOrigins": [{"exact": "https://a.example"}],
                "allowMethods": ["GET", "PUT"],
                "allowHeaders": ["x-a"],
                "exposeHeaders": ["x-b"],
                "allowCredentials": True,
                "maxAge": "60s",
                "unmatchedPreflights": "IGNORE",
            },
        }
    ],
}


def without_names(route: Route) -> Route:
    """A route without the resource that it notes for istioctl."""
    result = Route()
    result.CopyFrom(route)
    result.ClearField("metadata")
    return result


def paths_by_segments(route: Route) -> None:
    """`/a` is not for `/ab`: the beginning of an HTTPRoute's path is of whole segments."""
    if route.match.WhichOneof("path_specifier") == "path_separated_prefix":
        route.match.prefix = route.match.path_separated_prefix


def missing_backends(route: Route) -> None:
    """A share whose backend is not there is answered with 500."""
    if route.HasField("route"):
        route.route.ClearField("cluster_not_found_response_code")


DIFFERENCES = (paths_by_segments, missing_backends)


def compared(routes: list[Route], *differences: Any) -> list[Route]:
    found = [without_names(route) for route in routes]
    for route in found:
        for difference in differences:
            difference(route)
    return found


def in_the_mesh(rules: list[Object]) -> tuple[Cluster, Cluster]:
    """The rules of Service reviews, as a VirtualService and as an HTTPRoute."""
    parent = {"group": "", "kind": "Service", "name": "reviews"}
    route = made("r", {"parentRefs": [parent], "rules": [http_rule(rule) for rule in rules]}, created=CREATED)
    istio = config("VirtualService", "r", {"hosts": ["reviews"], "http": rules})
    return bookinfo().istio(istio), bookinfo().add("HTTPRoute", route)


def at_a_gateway(rules: list[Object]) -> tuple[Cluster, Cluster]:
    """The rules of all hosts of a gateway."""
    server = {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}
    entrance = config("Gateway", "entrance", {"selector": {"app": "edge"}, "servers": [server]})
    istio = config("VirtualService", "r", {"hosts": ["*"], "gateways": ["entrance"], "http": rules})
    route = made("r", {"parentRefs": [{"name": "edge"}], "rules": [http_rule(rule) for rule in rules]})
    bare = edge(made("another", {"gatewayClassName": "istio", "listeners": []}))
    return bare.istio(entrance, istio), edge().add("HTTPRoute", route)


@pytest.mark.parametrize("name", CASES)
def test_in_the_mesh_both_say_the_same(name: str, tmp_path: Path) -> None:
    found = []
    for cluster in in_the_mesh(CASES[name]):
        sent = resources(cluster, CLIENT)
        validate(static(sent), tmp_path)
        found.append(list(hosts_of(sent, "9080")["reviews.default.svc.cluster.local:9080"].routes))
    istio, kubernetes = found
    assert compared(kubernetes, *DIFFERENCES) == compared(istio)


@pytest.mark.parametrize("name", CASES)
def test_at_a_gateway_both_say_the_same(name: str) -> None:
    istio, kubernetes = (
        list(hosts_of(resources(cluster, POD, kind="router"), "http.80")["*:80"].routes)
        for cluster in at_a_gateway(CASES[name])
    )
    assert compared(kubernetes, *DIFFERENCES) == compared(istio)


def test_a_difference_is_one() -> None:
    """The table of differences is not to hide that something was lost."""
    segments, whole = Route(), Route()
    segments.match.path_separated_prefix = "/a"
    whole.match.prefix = "/a"
    assert compared([segments]) != compared([whole])
    assert compared([segments], *DIFFERENCES) == compared([whole])
