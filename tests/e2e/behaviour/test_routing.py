"""Where requests, calls and connections go, and what becomes of them on the way."""

from __future__ import annotations

from mesh_lab.testing import (
    CORS_HEADERS,
    Mesh,
    Numbers,
    TrafficClient,
    assert_all,
    assert_cors,
    assert_mirrored,
    assert_redirected,
    assert_request_headers,
    assert_response_headers,
    assert_rewritten,
    assert_split,
    eventually,
)

from .writing import CALLED, Spoken, Words, answered, cells, matched, routed, split

FEW, REQUESTS = 10, 600
WEIGHTS = {"v1": 70, "v2": 30}
ELSEWHERE, ORIGIN = "shop.example.com", "https://shop.example.com"
IN_HTTP = ("http1 httproute", "http2 virtualservice", "http2 httproute")
IN_GRPC = ("grpc virtualservice", "grpc grpcroute")


@cells("traffic/split", "http2 virtualservice", "http2 httproute", "grpc grpcroute", "tcp tcproute")
def test_traffic_is_split_by_weights(
    shop: Mesh, client: TrafficClient, mesh_record: Numbers, spoken: Spoken, protocol: str, api: str
) -> None:
    with shop.applied(split(protocol, api, WEIGHTS)):
        results = spoken.send(client, REQUESTS, concurrency=10)
    mesh_record(requests_count=REQUESTS, v2_ratio=results.versions()["v2"] / REQUESTS)
    assert_split(results, WEIGHTS)


@cells("match/header", *IN_HTTP, *IN_GRPC)
def test_a_header_decides_the_version(
    shop: Mesh, client: TrafficClient, spoken: Spoken, protocol: str, api: str
) -> None:
    jason = Words(
        istio={"match": [{"headers": {"end-user": {"exact": "jason"}}}]},
        gateway={"matches": [{"headers": [{"name": "end-user", "value": "jason"}]}]},
    )
    with shop.applied(matched(protocol, api, jason)):
        assert_all(spoken.send(client, FEW, headers={"end-user": "jason"}), version="v2")
        assert_all(spoken.send(client, FEW, headers={"end-user": "jason2"}), version="v1")
        assert_all(spoken.send(client, FEW), version="v1")


@cells("match/path", *IN_HTTP)
def test_a_paths_beginning_decides_the_version(
    shop: Mesh, client: TrafficClient, spoken: Spoken, protocol: str, api: str
) -> None:
    new = Words(
        istio={"match": [{"uri": {"prefix": "/new"}}]},
        gateway={"matches": [{"path": {"type": "PathPrefix", "value": "/new"}}]},
    )
    with shop.applied(matched(protocol, api, new)):
        assert_all(spoken.send(client, FEW, path="/new/page"), version="v2")
        assert_all(spoken.send(client, FEW, path="/old/new"), version="v1")


@cells("match/method", *IN_HTTP)
def test_a_requests_method_decides_the_version(
    shop: Mesh, client: TrafficClient, spoken: Spoken, protocol: str, api: str
) -> None:
    posts = Words(istio={"match": [{"method": {"exact": "POST"}}]}, gateway={"matches": [{"method": "POST"}]})
    with shop.applied(matched(protocol, api, posts)):
        assert_all(spoken.send(client, FEW, method="POST"), version="v2")
        assert_all(spoken.send(client, FEW), version="v1")


@cells("match/method", *IN_GRPC)
def test_a_calls_method_decides_the_version(
    shop: Mesh, client: TrafficClient, spoken: Spoken, protocol: str, api: str
) -> None:
    service, method = CALLED
    adding = Words(
        istio={"match": [{"uri": {"exact": f"/{service}/{method}"}}]},
        gateway={"matches": [{"method": {"service": service, "method": method}}]},
    )
    with shop.applied(matched(protocol, api, adding)):
        assert_all(spoken.send(client, FEW), version="v2")
        assert_all(client.send(f"grpc://echo:{spoken.port}/{service}/Remove", FEW), version="v1")


@cells("traffic/rewrite", *IN_HTTP)
def test_the_server_sees_the_path_and_the_host_that_a_route_writes(
    shop: Mesh, client: TrafficClient, spoken: Spoken, protocol: str, api: str
) -> None:
    path = {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/v2/cart"}
    rewritten = Words(
        istio={"match": [{"uri": {"prefix": "/cart"}}], "rewrite": {"uri": "/v2/cart", "authority": ELSEWHERE}},
        gateway={
            "matches": [{"path": {"type": "PathPrefix", "value": "/cart"}}],
            "filters": [{"type": "URLRewrite", "urlRewrite": {"hostname": ELSEWHERE, "path": path}}],
        },
    )
    with shop.applied(routed(protocol, api, rewritten)):
        results = spoken.send(client, FEW, path="/cart/7", show_body=True)
    assert_rewritten(results, path="/v2/cart/7", host=ELSEWHERE)


@cells("traffic/redirect", *IN_HTTP)
def test_a_redirect_names_the_new_place(
    shop: Mesh, client: TrafficClient, spoken: Spoken, protocol: str, api: str
) -> None:
    path = {"type": "ReplaceFullPath", "replaceFullPath": "/new"}
    to = {"hostname": ELSEWHERE, "path": path, "port": 80, "statusCode": 302}
    away = Words(
        istio={"redirect": {"uri": "/new", "authority": ELSEWHERE, "redirectCode": 302}},
        gateway={"filters": [{"type": "RequestRedirect", "requestRedirect": to}]},
    )
    with shop.applied(answered(protocol, api, away)):
        results = spoken.send(client, FEW, path="/old", show_header=["location"])
    assert_redirected(results, f"http://{ELSEWHERE}/new", status=302)


@cells("traffic/headers", *IN_HTTP, *IN_GRPC)
def test_a_route_sets_and_removes_headers_of_requests_and_of_answers(
    shop: Mesh, client: TrafficClient, spoken: Spoken, protocol: str, api: str
) -> None:
    asked = {"set": {"x-tenant": "one"}, "remove": ["x-debug"]}
    told = {"set": {"x-served-by": "mesh"}, "remove": ["x-echo-version"]}
    modified = [
        (f"{whose}HeaderModifier", {"set": [{"name": n, "value": v} for n, v in how["set"].items()]}, how["remove"])
        for whose, how in (("Request", asked), ("Response", told))
    ]
    changed = Words(
        istio={"headers": {"request": asked, "response": told}},
        gateway={
            "filters": [
                {"type": kind, kind[0].lower() + kind[1:]: {**values, "remove": removed}}
                for kind, values, removed in modified
            ]
        },
    )
    with shop.applied(routed(protocol, api, changed)):
        shown = {"show_body": True, "show_header": ["x-served-by", "x-echo-version"]}
        results = spoken.send(client, FEW, headers={"x-debug": "1"}, **shown)
    assert_request_headers(results, {"x-tenant": "one"}, ["x-debug"])
    assert_response_headers(results, {"x-served-by": "mesh"}, ["x-echo-version"])


@cells("traffic/mirror", *IN_HTTP, *IN_GRPC)
def test_a_mirror_gets_a_copy_of_each_request_and_nobody_sees_its_answers(
    shop: Mesh, client: TrafficClient, mesh_record: Numbers, spoken: Spoken, protocol: str, api: str
) -> None:
    copy, sent = shop.echo("echo", "v2"), 100
    copies = Words(
        istio={"mirrors": [{"destination": {"host": "echo", "subset": "v2", "port": {"number": spoken.port}}}]},
        gateway={
            "filters": [
                {
                    "type": "RequestMirror",
                    "requestMirror": {"backendRef": {"name": "echo-v2", "port": spoken.port}},
                }
            ]
        },
    )
    copy.reset()
    with shop.applied(routed(protocol, api, copies)):
        assert_all(spoken.send(client, sent, concurrency=5), version="v1")
        eventually(lambda: copy.counts()["total"] >= sent, timeout=10, why="nobody waits for the answers to copies")
    mesh_record(requests_count=sent, mirrored_count=copy.counts()["total"])
    assert_mirrored(sent, copy.counts()["total"])


@cells("traffic/cors", *IN_HTTP)
def test_pages_of_one_origin_may_read_the_answers(
    shop: Mesh, client: TrafficClient, spoken: Spoken, protocol: str, api: str
) -> None:
    methods, seconds = ["GET", "POST"], 60
    allowed = Words(
        istio={
            "corsPolicy": {
                "allowOrigins": [{"exact": ORIGIN}],
                "allowMethods": methods,
                "allowHeaders": ["x-tenant"],
                "maxAge": f"{seconds}s",
            }
        },
        gateway={
            "filters": [
                {
                    "type": "CORS",
                    "cors": {
                        "allowOrigins": [ORIGIN],
                        "allowMethods": methods,
                        "allowHeaders": ["x-tenant"],
                        "maxAge": seconds,
                    },
                }
            ]
        },
    )
    asked = {"access-control-request-method": "POST", "origin": ORIGIN}
    preflight = {"method": "OPTIONS", "show_header": list(CORS_HEADERS)}
    with shop.applied(routed(protocol, api, allowed)):
        ours = spoken.send(client, headers=asked, **preflight)
        others = spoken.send(client, headers={**asked, "origin": "https://other.example.com"}, **preflight)
    assert_cors(ours, ORIGIN, methods=["POST"], headers=["X-Tenant"], max_age_s=seconds)
    assert_cors(others, None)
