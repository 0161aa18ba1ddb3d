"""Envoy itself judges what is generated: all that the lab's scenarios use, and what hypothesis makes up."""

from __future__ import annotations

import base64
import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from mesh_lab.controlplane.istiokinds import KINDS
from mesh_lab.controlplane.report.analysis import analyse
from mesh_lab.controlplane.xds import Generator
from tests.unit.controlplane.cluster import Cluster, bookinfo, config, endpoints, pod, service
from tests.unit.controlplane.envoy import static, validate
from tests.unit.controlplane.strategies import valid


def to(host: str, subset: str = "", **more: Any) -> dict[str, Any]:
    return {"destination": {"host": host, **({"subset": subset} if subset else {})}, **more}


ROUTES = [
    {
        "name": "all at once",
        "match": [
            {
                "uri": {"prefix": "/x"},
                "headers": {"end-user": {"exact": "jason"}, "p": {}},
                "withoutHeaders": {"n": {"regex": "a.*"}, "m": {}},
                "method": {"exact": "GET"},
                "queryParams": {"q": {"exact": "1"}, "r": {}},
                "authority": {"prefix": "rev"},
                "scheme": {"exact": "http"},
                "ignoreUriCase": True,
                "sourceLabels": {"app": "productpage"},
            },
            {"uri": {"regex": "/v[0-9]+"}},
        ],
        "route": [
            to("reviews", "v1", weight=90, headers={"request": {"set": {"x-v": "1", "host": "foo"}}}),
            to("reviews", "v2", weight=10),
        ],
        "timeout": "3s",
        "retries": {"attempts": 3, "perTryTimeout": "1s", "retryOn": "5xx,503,reset", "backoff": "10ms"},
        "fault": {
            "delay": {"fixedDelay": "2s", "percentage": {"value": 50}},
            "abort": {"httpStatus": 503, "percentage": {"value": 0.1}},
        },
        "rewrite": {"uri": "/", "authority": "z"},
        "mirror": {"host": "reviews", "subset": "v3"},
        "mirrorPercentage": {"value": 5},
        "headers": {"request": {"add": {"a": "b"}, "remove": ["c"]}, "response": {"set": {"d": "e"}}},
        "corsPolicy": {"allowOrigins": [{"exact": "http://a"}], "allowMethods": ["GET"], "maxAge": "24h"},
    },
    {"match": [{"uri": {"exact": "/r"}}], "redirect": {"uri": "/n", "authority": "h", "redirectCode": 302}},
    {"match": [{"uri": {"prefix": "/d"}}], "directResponse": {"status": 418, "body": {"string": "tea" * 1500}}},
    {
        "match": [{"uri": {"prefix": "/w"}}],
        "rewrite": {"uriRegexRewrite": {"match": "^/w/(.*)", "rewrite": r"/\1"}},
        "route": [to("ratings")],
    },
    {"route": [to("reviews", "v1")]},
]
POLICY = {
    "loadBalancer": {"consistentHash": {"httpCookie": {"name": "u", "ttl": "0s"}}},
    "connectionPool": {
        "tcp": {"maxConnections": 1, "connectTimeout": "1s", "tcpKeepalive": {"time": "60s"}},
        "http": {"http1MaxPendingRequests": 1, "maxRequestsPerConnection": 1, "http2MaxRequests": 5},
    },
    "outlierDetection": {"consecutive5xxErrors": 1, "interval": "1s", "consecutiveGatewayErrors": 2},
}
LOOP = "loop.default.svc.cluster.local"
SERVERS = [
    {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]},
    {
        "port": {"number": 443, "name": "https", "protocol": "HTTPS"},
        "hosts": ["default/book.example.com"],
        "tls": {"mode": "SIMPLE", "credentialName": "cert"},
    },
    {
        "port": {"number": 443, "name": "mutual", "protocol": "HTTPS"},
        "hosts": ["mutual.example.com"],
        "tls": {"mode": "MUTUAL", "credentialName": "cert", "minProtocolVersion": "TLSV1_3"},
    },
    {
        "port": {"number": 443, "name": "pass", "protocol": "TLS"},
        "hosts": ["pass.example.com"],
        "tls": {"mode": "PASSTHROUGH"},
    },
    {
        "port": {"number": 443, "name": "ended", "protocol": "TLS"},
        "hosts": ["ended.example.com"],
        "tls": {"mode": "SIMPLE", "credentialName": "cert"},
    },
    {"port": {"number": 9000, "name": "tcp", "protocol": "TCP"}, "hosts": ["*"]},
]


def gate(cluster: Cluster) -> Cluster:
    """Add a gateway's pod, its Service and a certificate."""
    cluster.add("Pod", pod("gate-1", "10.244.0.50", namespace="istio-system", app="gate", meshed=False))
    ports = [{"name": "a", "port": 80, "targetPort": 8080}, {"name": "b", "port": 443, "targetPort": 8443}]
    cluster.add("Service", service("gate", namespace="istio-system", ip="10.96.9.9", ports=ports))
    data = {key: base64.b64encode(b"pem").decode() for key in ("tls.crt", "tls.key", "ca.crt")}
    return cluster.add("Secret", {"metadata": {"namespace": "istio-system", "name": "cert"}, "data": data})


def everything() -> Cluster:
    """A mesh that uses all that there is."""
    cluster = gate(bookinfo())
    cluster.app("db", ("tcp", 5432), pods=[pod("db-1", "10.244.0.40")])
    cluster.app("odd", ("", 7000), pods=[pod("odd-1", "10.244.0.41", meshed=False)])
    cluster.app("grpc", ("grpc", 50051), pods=[pod("grpc-1", "10.244.0.42")])
    head = pod("head-1", "10.244.0.43")
    ports = ("http", 8000), ("tcp", 8001), ("odd", 8002)
    cluster.add("Service", service("head", *ports, clusterIP="None")).add("Pod", head)
    cluster.add("EndpointSlice", endpoints("head", head, ports=ports))
    for name, target in (("ext", "a.example"), ("page", "productpage.default.svc.cluster.local"), ("loop", LOOP)):
        cluster.add("Service", service(name, ("http", 80), clusterIP="", type="ExternalName", externalName=target))
    subsets = [{"name": v, "labels": {"version": v}} for v in ("v1", "v2")]
    third = {
        "name": "v3",
        "labels": {"version": "v3"},
        "trafficPolicy": {
            "loadBalancer": {"simple": "ROUND_ROBIN", "warmup": {"duration": "10s", "aggression": 1.5}},
            "portLevelSettings": [
                {
                    "port": {"number": 9080},
                    "loadBalancer": {"consistentHash": {"maglev": {"tableSize": 5003}, "useSourceIp": True}},
                }
            ],
        },
    }
    front = {"selector": {"app": "gate"}, "servers": SERVERS}
    page = {"match": [{"uri": {"exact": "/productpage"}}], "route": [to("productpage")]}
    passed = {"match": [{"sniHosts": ["pass.example.com"]}], "route": [to("db", weight=1), to("odd", weight=1)]}
    deny = {
        "from": [
            {
                "source": {
                    "namespaces": ["a*"],
                    "ipBlocks": ["1.2.3.4", "10.0.0.0/8"],
                    "notPrincipals": ["cluster.local/ns/x/sa/y", "*"],
                    "requestPrincipals": ["*"],
                }
            },
            {"source": {"serviceAccounts": ["default/x", "z"]}},
        ],
        "to": [{"operation": {"methods": ["GET"], "paths": ["/a*", "*b", "/x/{*}/y/{**}"], "ports": ["9080"]}}],
        "when": [
            {"key": "request.headers[x]", "values": ["a"], "notValues": ["b*"]},
            {"key": "source.ip", "values": ["1.1.1.1"]},
            {"key": "connection.sni", "values": ["a"]},
        ],
    }
    return cluster.istio(
        config("VirtualService", "reviews", {"hosts": ["reviews"], "http": ROUTES}),
        config(
            "DestinationRule", "reviews", {"host": "reviews", "trafficPolicy": POLICY, "subsets": [*subsets, third]}
        ),
        config(
            "DestinationRule", "details", {"host": "details", "trafficPolicy": {"tls": {"mode": "SIMPLE", "sni": "d"}}}
        ),
        config(
            "DestinationRule", "ratings", {"host": "ratings", "trafficPolicy": {**POLICY, "tls": {"mode": "SIMPLE"}}}
        ),
        config("Sidecar", "pools", {"inboundConnectionPool": POLICY["connectionPool"]}),
        config(
            "DestinationRule",
            "all",
            {"host": "*.default.svc.cluster.local", "trafficPolicy": {"tls": {"mode": "ISTIO_MUTUAL"}}},
        ),
        config(
            "VirtualService", "db", {"hosts": ["db"], "tcp": [{"route": [to("db", weight=2), to("odd", weight=8)]}]}
        ),
        config(
            "VirtualService", "other", {"hosts": ["o.example.com", "*.wild.com"], "http": [{"route": [to("ratings")]}]}
        ),
        config("Gateway", "front", front),
        config(
            "VirtualService", "page", {"hosts": ["*"], "gateways": ["front"], "http": [page, {"route": [to("head")]}]}
        ),
        config("VirtualService", "pass", {"hosts": ["pass.example.com"], "gateways": ["front"], "tls": [passed]}),
        config("VirtualService", "tcp", {"hosts": ["*"], "gateways": ["front"], "tcp": [{"route": [to("db")]}]}),
        config("PeerAuthentication", "default", {"mtls": {"mode": "STRICT"}}),
        config(
            "PeerAuthentication",
            "page",
            {
                "selector": {"matchLabels": {"app": "productpage"}},
                "portLevelMtls": {"9080": {"mode": "DISABLE"}, "1234": {"mode": "PERMISSIVE"}},
            },
        ),
        config("AuthorizationPolicy", "deny", {"action": "DENY", "rules": [deny]}),
        config("AuthorizationPolicy", "edge", {"rules": [{}]}, namespace="istio-system"),
        config("AuthorizationPolicy", "allow", {"rules": [{"to": [{"operation": {"notMethods": ["POST"]}}]}, {}]}),
    )


@pytest.mark.parametrize(
    ("name", "namespace", "kind"),
    [
        ("productpage-v1-abc-1", "default", "sidecar"),
        ("reviews-v1-abc-1", "default", "sidecar"),
        ("db-1", "default", "sidecar"),
        ("odd-1", "default", "sidecar"),
        ("grpc-1", "default", "sidecar"),
        ("head-1", "default", "sidecar"),
        ("gate-1", "istio-system", "router"),
    ],
)
def test_envoy_takes_all_that_there_is(name: str, namespace: str, kind: str, tmp_path: Path) -> None:
    cluster = everything()
    assert not cluster.snapshot().invalid
    validate(static(Generator().generate(cluster.snapshot(), cluster.proxy(name, namespace, kind))), tmp_path)


RELAXED = settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    phases=[Phase.generate, Phase.shrink],
)


@RELAXED
@given(st.sampled_from(sorted(KINDS)).flatmap(lambda kind: st.tuples(st.just(kind), valid(kind))))
def test_what_passes_the_checks_can_be_translated_and_analysed(case: tuple[str, dict[str, Any]]) -> None:
    kind, document = case
    cluster = gate(bookinfo()).istio(config(kind, "any", document))
    snapshot = cluster.snapshot()
    assert not snapshot.invalid
    generator = Generator()
    generator.generate(snapshot, cluster.proxy("productpage-v1-abc-1"))
    generator.generate(snapshot, cluster.proxy("gate-1", "istio-system", "router"))
    analyse(snapshot)


def _isolated(kind: str, document: dict[str, Any], index: int) -> dict[str, Any]:
    """The document for a host, or a port, of its own, so that many can be judged at once."""
    own = copy.deepcopy(document)
    for name in ("exportTo", "workloadSelector", "gateways", "selector", "action" if kind == "Gateway" else ""):
        own.pop(name, None)
    if kind == "VirtualService":
        own["hosts"] = [f"s{index}"]
    elif kind == "DestinationRule":
        own["host"] = f"s{index}"
    elif kind == "Gateway":
        own["selector"] = {"app": "gate"}
        for number, server in enumerate(own["servers"]):
            server["port"]["number"] = 2000 + 10 * index + number
            server.pop("bind", None)
    return own


@pytest.mark.parametrize("kind", ["VirtualService", "DestinationRule", "AuthorizationPolicy", "Gateway"])
def test_what_passes_the_checks_envoy_takes(kind: str, tmp_path: Path) -> None:
    documents: list[dict[str, Any]] = []

    @seed(20261122)
    @RELAXED
    @given(valid(kind))
    def gather(document: dict[str, Any]) -> None:
        documents.append(document)

    gather()
    cluster = gate(bookinfo())
    for index, document in enumerate(documents):
        if kind in ("VirtualService", "DestinationRule"):
            name = f"s{index}"
            cluster.app(name, ("http", 9080), ("tcp", 9090), pods=[pod(f"{name}-1", f"10.244.1.{index + 1}", app=name)])
        cluster.istio(config(kind, f"c{index}", _isolated(kind, document, index)))
    edge = kind == "Gateway"
    proxy = cluster.proxy("gate-1", "istio-system", "router") if edge else cluster.proxy("productpage-v1-abc-1")
    validate(static(Generator().generate(cluster.snapshot(), proxy)), tmp_path)
