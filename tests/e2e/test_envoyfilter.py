"""EnvoyFilter: what a patch does to requests, and that one which Envoy refuses harms nobody."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_lab.testing import (
    ConfigurationRejected,
    Mesh,
    Object,
    TrafficClient,
    assert_all,
    destination_rule,
    route,
    to,
    virtual_service,
)

TYPE = "type.googleapis.com/envoy.extensions.filters.http"
MANAGER = {"name": "envoy.filters.network.http_connection_manager"}
BURST = 4


@pytest.fixture(scope="module")
def shop(mesh_shared: Mesh) -> Mesh:
    """Each request has a connection of its own: open ones keep a listener's former filters until they have drained."""
    mesh_shared.deploy_echo("echo")
    mesh_shared.deploy_client()
    mesh_shared.apply(destination_rule("echo", policy={"connectionPool": {"http": {"maxRequestsPerConnection": 1}}}))
    mesh_shared.ready()
    mesh_shared.wait_endpoints("echo", 1)
    return mesh_shared


def patching(name: str, app: str, apply_to: str, match: Object, operation: str, value: Object) -> Object:
    change = {"applyTo": apply_to, "match": match, "patch": {"operation": operation, "value": value}}
    return {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": {"name": name},
        "spec": {"workloadSelector": {"labels": {"app": app}}, "configPatches": [change]},
    }


def http_filter(name: str, kind: str, **settings: Any) -> Object:
    """An HTTP filter before the router of what the server receives."""
    match = {
        "context": "SIDECAR_INBOUND",
        "listener": {"filterChain": {"filter": {**MANAGER, "subFilter": {"name": "envoy.filters.http.router"}}}},
    }
    value = {"name": f"envoy.filters.http.{name}", "typed_config": {"@type": f"{TYPE}.{kind}", **settings}}
    return patching(name.replace("_", "-"), "echo", "HTTP_FILTER", match, "INSERT_BEFORE", value)


def script(text: str) -> Object:
    return http_filter("lua", "lua.v3.Lua", default_source_code={"inline_string": text})


def test_a_http_filter_handles_what_a_server_receives(shop: Mesh, client: TrafficClient) -> None:
    adding = 'function envoy_on_response(handle) handle:headers():add("x-script", "ran") end'
    with shop.applied(script(adding)):
        results = client.send("http://echo", 5, show_header=["x-script"])
    assert_all(results)
    assert [result.headers for result in results] == [{"x-script": "ran"}] * 5
    assert client.send("http://echo", show_header=["x-script"])[0].headers == {}


def test_a_route_is_added_to_those_of_a_client(shop: Mesh, client: TrafficClient) -> None:
    host = f"echo.{shop.namespace}.svc.cluster.local:80"
    match = {"context": "SIDECAR_OUTBOUND", "routeConfiguration": {"vhost": {"name": host}}}
    tea = {"match": {"prefix": "/tea"}, "direct_response": {"status": 418}}
    with shop.applied(patching("tea", "client", "HTTP_ROUTE", match, "INSERT_FIRST", tea)):
        assert_all(client.send("http://echo/tea", 3), status=418)
        assert_all(client.send("http://echo/coffee", 3))


def test_a_cluster_is_changed_for_one_client(shop: Mesh, client: TrafficClient) -> None:
    host = f"echo.{shop.namespace}.svc.cluster.local"
    match = {"context": "SIDECAR_OUTBOUND", "cluster": {"service": host, "portNumber": 80}}
    nobody = {"circuit_breakers": {"thresholds": [{"max_requests": 0}]}}
    with shop.applied(patching("closed", "client", "CLUSTER", match, "MERGE_AND_REPLACE_LIST", nobody)):
        assert_all(client.send("http://echo", 5), status=503)
    assert_all(client.send("http://echo", 5))


def test_requests_beyond_a_local_rate_limit_are_refused(shop: Mesh, client: TrafficClient) -> None:
    """As in Istio's task: a bucket that is filled once a minute."""
    always = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
    limit = http_filter(
        "local_ratelimit",
        "local_ratelimit.v3.LocalRateLimit",
        stat_prefix="http_local_rate_limiter",
        token_bucket={"max_tokens": BURST, "tokens_per_fill": BURST, "fill_interval": "60s"},
        filter_enabled=always,
        filter_enforced=always,
    )
    with shop.applied(limit):
        counts = client.send("http://echo", BURST + 6).counts("status")
    assert counts == {"200": BURST, "429": 6}


@pytest.mark.mesh_clusters("embedded")
def test_what_envoy_refuses_says_so_on_itself_and_harms_nobody(shop: Mesh, client: TrafficClient) -> None:
    refs = shop.apply(script("this is no Lua"))
    try:
        with pytest.raises(ConfigurationRejected, match="script load error"):
            shop.wait_live(refs[0])
        # The same listener and the same proxies take what others change.
        headers = {"response": {"set": {"x-good": "yes"}}}
        with shop.applied(virtual_service("echo", route(to("echo"), headers=headers))):
            results = client.send("http://echo", 5, show_header=["x-good"])
        assert [result.headers for result in results] == [{"x-good": "yes"}] * 5
        strict = {"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", "metadata": {"name": "strict"}}
        with shop.applied({**strict, "spec": {"mtls": {"mode": "STRICT"}}}):
            assert_all(client.send("http://echo", 5))
    finally:
        shop.remove(refs)
