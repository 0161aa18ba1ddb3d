"""The harness' assertions on a mesh that does what each is about."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from mesh_lab.testing import (
    BY_NO_RULE,
    CORS_HEADERS,
    Mesh,
    Numbers,
    Object,
    Results,
    TrafficClient,
    assert_aborted,
    assert_all,
    assert_allowed,
    assert_backed_off,
    assert_circuit_closed,
    assert_cors,
    assert_delayed,
    assert_denied,
    assert_least_request,
    assert_metrics_agree,
    assert_mirrored,
    assert_mutual_tls,
    assert_none_lost,
    assert_not_retried,
    assert_plaintext_refused,
    assert_redirected,
    assert_request_headers,
    assert_response_headers,
    assert_retried,
    assert_retries_bounded,
    assert_rewritten,
    assert_round_robin,
    assert_route_splits,
    assert_split,
    assert_sticky,
    assert_timed_out,
    authorization_policy,
    by_header,
    destination_rule,
    eventually,
    peer_authentication,
    pod_of,
    route,
    service,
    tcp_virtual_service,
    to,
    virtual_service,
)

from .conftest import need_metrics

URL, ANY, CALL, TCP = "http://echo", "http://any", "grpc://echo:81/shop.Cart/Add", "tcp://echo:9000"
BOTH = {"v1": 70, "v2": 30}
MANY, FEW = 600, 20


@pytest.fixture(scope="module")
def shop(canary: Mesh) -> Iterator[Mesh]:
    """Two versions of an echo server and a client, whose proxies record from the first request on.

    The service `any` has the same pods, for policies that are not to concern the subsets of `echo`.
    """
    canary.apply(service("any", {"app": "echo"}, ("http", 80, 8080)))
    canary.wait_endpoints("any", 2)
    with canary.recording():
        yield canary


@pytest.fixture
def client(shop: Mesh) -> TrafficClient:
    return shop.client()


def ruled(**fields: Any) -> Object:
    return virtual_service("echo", route(to("echo", "v1"), **fields))


def balanced(**policy: Any) -> Object:
    return destination_rule("any", policy={"loadBalancer": policy})


@pytest.mark.mesh_feature("traffic/split", api="virtualservice")
@pytest.mark.parametrize(("protocol", "url"), [("http1", URL), ("grpc", CALL)])
def test_requests_and_calls_are_split(
    shop: Mesh, client: TrafficClient, mesh_record: Numbers, protocol: str, url: str
) -> None:
    rule = virtual_service("echo", route(*(to("echo", version, weight) for version, weight in BOTH.items())))
    with shop.applied(rule):
        results = client.send(url, MANY, concurrency=10)
    mesh_record(**split_numbers(results))
    assert_split(results, BOTH)


def split_numbers(results: Results) -> dict[str, float]:
    return {"requests_count": len(results), "v2_ratio": results.versions()["v2"] / len(results)}


@pytest.mark.mesh_clusters("embedded")
@pytest.mark.parametrize("url", [URL, CALL])
def test_the_labs_proxies_draw_by_number_so_a_hundred_requests_show_a_split(
    shop: Mesh, client: TrafficClient, url: str
) -> None:
    rule = virtual_service("echo", route(*(to("echo", version, weight) for version, weight in BOTH.items())))
    with shop.applied(rule):
        assert len(assert_route_splits(client, url, BOTH, exact=True)) == 100
        with pytest.raises(AssertionError, match="of 100 numbered requests came v1: 70, v2: 30"):
            assert_route_splits(client, url, {"v1": 71, "v2": 29}, exact=True)
        assert_split(client.send(url, MANY, concurrency=10), BOTH)


@pytest.mark.mesh_feature("traffic/split", protocol="tcp", api="virtualservice")
def test_connections_are_split(shop: Mesh, client: TrafficClient, mesh_record: Numbers) -> None:
    with shop.applied(tcp_virtual_service("echo", *(to("echo", name, weight) for name, weight in BOTH.items()))):
        results = client.send(TCP, MANY, concurrency=10)
    mesh_record(**split_numbers(results))
    assert_split(results, BOTH)


def test_a_split_of_any_servers_shows_by_the_pods_in_the_proxies_records(shop: Mesh, client: TrafficClient) -> None:
    names = {version: shop.pod("echo", version)["metadata"]["name"] for version in BOTH}
    rule = virtual_service("echo", route(*(to("echo", version, weight) for version, weight in BOTH.items())))
    with shop.applied(rule):
        results = client.send(URL, MANY, concurrency=10, recorded=True)
    assert_split(results, {names[version]: weight for version, weight in BOTH.items()}, by=pod_of)
    assert [each.pod for each in results] == [each.hostname for each in results]


@pytest.mark.mesh_feature("balancing/round-robin", protocol="http1", api="destinationrule")
def test_endpoints_take_turns(shop: Mesh, client: TrafficClient) -> None:
    with shop.applied(balanced(simple="ROUND_ROBIN")):
        assert_round_robin(client.send(ANY, FEW), [shop.pod("echo", v)["metadata"]["name"] for v in BOTH])


@pytest.mark.mesh_feature("balancing/least-request", protocol="http1", api="destinationrule")
def test_a_busy_endpoint_is_avoided(shop: Mesh, client: TrafficClient) -> None:
    busy, other = (shop.pod("echo", version)["metadata"]["name"] for version in BOTH)
    with (
        shop.applied(balanced(simple="LEAST_REQUEST")),
        client.sending(f"{ANY}/hold", 1) as held,
    ):
        eventually(lambda: shop.echo("echo", "v1").holding() + shop.echo("echo", "v2").holding(), timeout=5, why="held")
        if shop.echo("echo", "v2").holding():
            busy, other = other, busy
        results = client.send(ANY, 600)
        assert shop.echo("echo", "v1").release() + shop.echo("echo", "v2").release() == 1
        assert_all(held.results())
    assert_least_request(results, busy, [busy, other])


@pytest.mark.mesh_feature("balancing/consistent-hash", protocol="http1", api="destinationrule")
def test_requests_of_one_user_keep_to_one_endpoint(shop: Mesh, client: TrafficClient) -> None:
    with shop.applied(balanced(consistentHash={"httpHeaderName": "x-user"})):
        results = [
            result
            for user in range(20)
            for result in client.send(ANY, 2, headers={"x-user": f"user-{user}"}, show_body=True)
        ]
    assert_sticky(results, lambda result: result.json["headers"]["x-user"])


@pytest.mark.mesh_feature("resilience/retries", protocol="http1", api="virtualservice")
def test_requests_are_retried_as_often_as_is_said_and_others_are_not(
    shop: Mesh, client: TrafficClient, mesh_record: Numbers
) -> None:
    shown = {"recorded": True, "show_header": ["x-envoy-attempt-count"]}
    with shop.applied(ruled(retries={"attempts": 2, "retryOn": "503"})):
        failing = client.send(f"{URL}/?fail=2&code=503", FEW, **shown)
        mesh_record(requests_count=FEW, attempts_count=sum(each.attempts for each in failing))
        assert_retried(failing, 3)
        assert_not_retried(client.send(f"{URL}/?fail=1&code=500", FEW, **shown), status=500)


@pytest.mark.mesh_feature("resilience/retry-back-off", protocol="http1", api="virtualservice")
def test_retries_wait_for_each_other(shop: Mesh, client: TrafficClient) -> None:
    with shop.applied(ruled(retries={"attempts": 2, "retryOn": "503", "backoff": "200ms"})):
        results = client.send(f"{URL}/?fail=2&code=503", 60, concurrency=30, distinct_ids=True)
    assert_all(results)
    assert_backed_off(results, 2, base_s=0.2, slack_s=0.28)


@pytest.mark.mesh_feature("resilience/retry-budget", protocol="http1", api="destinationrule")
def test_a_retry_budget_bounds_what_arrives(shop: Mesh, client: TrafficClient, mesh_record: Numbers) -> None:
    """Of the requests under way a fifth may be retries, or one; five for each would come without the budget."""
    budget = {"retryBudget": {"percent": 20, "minRetryConcurrency": 1}}
    servers = [shop.echo("echo", version) for version in BOTH]
    for server in servers:
        server.reset()
    with shop.applied(
        [
            destination_rule("any", policy=budget),
            virtual_service("any", route(to("any"), retries={"attempts": 5, "retryOn": "503"})),
        ]
    ):
        results = client.send(f"{ANY}/?fail=9&code=503&delay=0.05", 200, concurrency=20, distinct_ids=True)
    arrived = sum(server.counts()["total"] for server in servers)
    mesh_record(requests_count=len(results), arrived_count=arrived)
    assert {each.status for each in results} == {503}
    assert_retries_bounded(len(results), arrived, ratio=1.0)


def test_a_circuit_breaker_that_is_wide_enough_stays_closed(shop: Mesh, client: TrafficClient) -> None:
    pool = {"connectionPool": {"http": {"http1MaxPendingRequests": 50}, "tcp": {"maxConnections": 50}}}
    with (
        shop.applied(destination_rule("any", policy=pool)),
        shop.proxy("client").counting("pending_overflow") as growth,
    ):
        results = client.send(ANY, 100, concurrency=20)
    assert_circuit_closed(results, counted=sum(growth.values()))


@pytest.mark.mesh_feature("faults/delay", protocol="http1", api="virtualservice")
@pytest.mark.mesh_feature("faults/abort", protocol="http1", api="virtualservice")
def test_a_share_of_requests_is_delayed_and_another_aborted(
    shop: Mesh, client: TrafficClient, mesh_record: Numbers
) -> None:
    delay = {"delay": {"percentage": {"value": 30}, "fixedDelay": "0.3s"}}
    with shop.applied(ruled(fault=delay)):
        delayed = client.send(URL, 300, concurrency=50)
        mesh_record(requests_count=300, delayed_ratio=sum(each.duration_ms >= 290 for each in delayed) / 300)
        assert_delayed(delayed, 0.3, share=0.3)
    with shop.applied(ruled(fault={"abort": {"percentage": {"value": 30}, "httpStatus": 418}})):
        aborted = client.send(URL, 300, concurrency=10)
        mesh_record(aborted_ratio=len(aborted.with_status(418)) / 300)
        assert_aborted(aborted, 418, share=0.3)


@pytest.mark.mesh_feature("resilience/timeout", protocol="http1", api="virtualservice")
def test_a_slow_answer_is_given_up(shop: Mesh, client: TrafficClient, mesh_record: Numbers) -> None:
    with shop.applied(ruled(timeout="0.2s")):
        results = client.send(f"{URL}/?delay=1", FEW, concurrency=FEW)
    mesh_record(slowest_ms=max(each.duration_ms for each in results), written_ms=200)
    assert_timed_out(results, 0.2, under_s=1.0)


@pytest.mark.mesh_feature("traffic/rewrite", protocol="http1", api="virtualservice")
@pytest.mark.mesh_feature("traffic/headers", protocol="http1", api="virtualservice")
def test_what_a_route_rewrites_is_what_the_server_sees(shop: Mesh, client: TrafficClient) -> None:
    headers = {
        "request": {"set": {"x-tenant": "one"}, "remove": ["x-debug"]},
        "response": {"set": {"x-served-by": "mesh"}, "remove": ["x-echo-version"]},
    }
    rewrite = {"uri": "/v2/cart", "authority": "shop.example.com"}
    rule = ruled(match=[{"uri": {"prefix": "/cart"}}], rewrite=rewrite, headers=headers)
    with shop.applied(rule):
        results = client.send(
            f"{URL}/cart", headers={"x-debug": "1"}, show_body=True, show_header=["x-served-by", "x-echo-version"]
        )
    assert_rewritten(results, path="/v2/cart", host="shop.example.com")
    assert_request_headers(results, {"x-tenant": "one"}, ["x-debug"])
    assert_response_headers(results, {"x-served-by": "mesh"}, ["x-echo-version"])


@pytest.mark.mesh_feature("traffic/redirect", protocol="http1", api="virtualservice")
def test_a_redirect_names_the_new_place(shop: Mesh, client: TrafficClient) -> None:
    away = {"redirect": {"uri": "/new", "authority": "shop.example.com", "redirectCode": 308}}
    with shop.applied(virtual_service("echo", away)):
        assert_redirected(
            client.send(f"{URL}/old", show_header=["location"]), "http://shop.example.com/new", status=308
        )


@pytest.mark.mesh_feature("traffic/mirror", protocol="http1", api="virtualservice")
def test_a_share_of_requests_is_mirrored(shop: Mesh, client: TrafficClient, mesh_record: Numbers) -> None:
    copy, mirror = shop.echo("echo", "v2"), {"host": "echo", "subset": "v2"}
    copy.reset()
    with shop.applied(ruled(mirrors=[{"destination": mirror, "percentage": {"value": 40}}])):
        assert_all(client.send(URL, MANY, concurrency=10), version="v1")
        client.send(f"{URL}/?delay=0.1")
    mesh_record(requests_count=MANY + 1, mirrored_count=copy.counts()["total"])
    assert_mirrored(MANY + 1, copy.counts()["total"], share=0.4)


@pytest.mark.mesh_feature("traffic/cors", protocol="http1", api="virtualservice")
def test_pages_of_one_origin_may_read_the_answers(shop: Mesh, client: TrafficClient) -> None:
    cors = {
        "allowOrigins": [{"exact": "https://shop.example.com"}],
        "allowMethods": ["GET", "POST"],
        "allowHeaders": ["x-tenant"],
        "maxAge": "60s",
    }
    preflight = {"method": "OPTIONS", "show_header": list(CORS_HEADERS)}
    with shop.applied(ruled(corsPolicy=cors)):
        asked = {"access-control-request-method": "POST", "origin": "https://shop.example.com"}
        allowed = client.send(URL, headers=asked, **preflight)
        other = client.send(URL, headers={**asked, "origin": "https://other.example.com"}, **preflight)
    assert_cors(allowed, "https://shop.example.com", methods=["POST"], headers=["X-Tenant"], max_age_s=60)
    assert_cors(other, None)


@pytest.mark.mesh_feature("security/identity", protocol="http1", api="none")
def test_both_sides_of_mutual_tls_are_known_by_their_identities(shop: Mesh, client: TrafficClient) -> None:
    account = f"spiffe://cluster.local/ns/{shop.namespace}/sa"
    results = client.send(URL, FEW, recorded=True)
    assert_mutual_tls(results, client=f"{account}/client", server=f"{account}/echo")


@pytest.mark.mesh_feature("security/mtls-strict", protocol="http1", api="peerauthentication")
def test_plaintext_is_refused_where_mutual_tls_is_wanted(shop: Mesh, outside: Mesh) -> None:
    stranger = outside.deploy_client("stranger")
    outside.ready()
    url = f"{URL}.{shop.namespace}"
    with shop.applied(peer_authentication("STRICT")):
        assert_plaintext_refused(stranger.send(url, FEW))
    assert_allowed(stranger.send(url, FEW))


@pytest.mark.mesh_feature("security/authorization-deny", protocol="http1", api="authorizationpolicy")
def test_a_denial_names_its_policy(shop: Mesh, client: TrafficClient) -> None:
    rule = {"to": [{"operation": {"paths": ["/admin*"]}}]}
    with shop.applied(authorization_policy("no-admin", "DENY", "echo", rule)):
        assert_denied(client.send(f"{URL}/admin", FEW, recorded=True), f"{shop.namespace}/no-admin")
        assert_allowed(client.send(URL, FEW))
    with shop.applied(authorization_policy("nothing", "ALLOW", "echo")):
        assert_denied(client.send(CALL, FEW, recorded=True), BY_NO_RULE)


@pytest.mark.mesh_feature("telemetry/requests-counted", protocol="http1", api="none")
def test_the_client_its_proxy_and_the_servers_proxies_count_the_same(shop: Mesh, client: TrafficClient) -> None:
    need_metrics(shop, "client")
    mix = f"{URL}/?status=200:8,404:2"
    with shop.counting("client", "echo") as counted:
        assert_metrics_agree(client.send(mix, 100, concurrency=5, recorded=True), counted)


@pytest.mark.mesh_feature("resilience/rollout", protocol="http1", api="none")
def test_no_request_is_lost_while_a_version_is_rolled_out(
    shop: Mesh, client: TrafficClient, mesh_record: Numbers
) -> None:
    name = f"echo-v2-{shop.namespace[-6:]}"
    with client.sending(URL, 5_000, rate=200.0) as sending:
        restarted = {"spec": {"template": {"metadata": {"annotations": {"restarted": name}}}}}
        shop.api.kubectl("patch", "-n", shop.namespace, "deployment", "echo-v2", "-p", str(restarted).replace("'", '"'))
        shop.api.kubectl("rollout", "status", "-n", shop.namespace, "deployment/echo-v2", timeout=60)
        results = sending.stop()
    lost = len(results) - len(results.with_status(200))
    mesh_record(requests_count=len(results), lost_count=lost, slowest_ms=max(each.duration_ms for each in results))
    assert_none_lost(results, at_least=100)


def test_a_version_may_be_read_from_any_header(shop: Mesh, client: TrafficClient) -> None:
    results = client.send(URL, FEW, version_of=by_header("x-echo-version"))
    assert {each.version for each in results} <= set(BOTH)
