"""Rules within one resource, with the place and the words of each complaint."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_lab.controlplane.istiokinds import decode, validate

ROUTE: dict[str, Any] = {"route": [{"destination": {"host": "a"}}]}


def http(**rule: Any) -> dict[str, Any]:
    return {"hosts": ["a"], "http": [ROUTE | rule]}


def server(protocol: str = "HTTP", **more: Any) -> dict[str, Any]:
    return {
        "selector": {"a": "b"},
        "servers": [{"port": {"number": 80, "name": "x", "protocol": protocol}, "hosts": ["*"], **more}],
    }


def policy(**settings: Any) -> dict[str, Any]:
    return {"host": "a", "trafficPolicy": settings}


def source(**fields: Any) -> dict[str, Any]:
    return {"rules": [{"from": [{"source": fields}]}]}


def operation(**fields: Any) -> dict[str, Any]:
    return {"rules": [{"to": [{"operation": fields}]}]}


def when(key: str) -> dict[str, Any]:
    return {"rules": [{"when": [{"key": key, "values": ["a"]}]}]}


SOURCE = "spec.rules[0].from[0].source"


CASES: list[tuple[str, dict[str, Any], str, str]] = [
    ("VirtualService", {"hosts": ["a"]}, "spec", "http, tcp or tls must be provided"),
    ("VirtualService", {"hosts": ["*"], "http": [ROUTE]}, "spec.hosts[0]", "wildcard host * is not allowed"),
    ("VirtualService", {"hosts": ["a b"], "http": [ROUTE]}, "spec.hosts[0]", 'domain name "a b" invalid'),
    ("VirtualService", {"hosts": ["a", "a"], "http": [ROUTE]}, "spec.hosts", "duplicate hosts"),
    (
        "VirtualService",
        {"hosts": ["a"], "http": [{}]},
        "spec.http[0]",
        "HTTP route, redirect or direct_response is required",
    ),
    ("VirtualService", http(redirect={"uri": "/"}), "spec.http[0]", "cannot contain both route and redirect"),
    (
        "VirtualService",
        {"hosts": ["a"], "http": [{"route": [{"destination": {"host": h}, "weight": 0} for h in "ab"]}]},
        "spec.http[0].route",
        "total destination weight = 0",
    ),
    ("VirtualService", http(timeout="1ns"), "spec.http[0].timeout", "duration must be greater than 1ms"),
    ("VirtualService", http(retries={"attempts": -1}), "spec.http[0].retries.attempts", "cannot be negative"),
    (
        "VirtualService",
        http(retries={"attempts": 1, "retryOn": "5xx,sometimes"}),
        "spec.http[0].retries.retryOn",
        '"sometimes" is not a valid retryOn policy',
    ),
    (
        "VirtualService",
        http(match=[{"headers": {"x": {"exact": "a", "prefix": "b"}}}]),
        "spec.http[0].match[0].headers[x]",
        "only one of exact, prefix and regex may be given, not exact and prefix",
    ),
    ("VirtualService", http(match=[{"uri": {"regex": "(a"}}]), "spec.http[0].match[0].uri", "invalid regex '(a'"),
    (
        "VirtualService",
        http(match=[{"uri": {"regex": "(?=a)"}}]),
        "spec.http[0].match[0].uri",
        "RE2 knows no look-around",
    ),
    ("VirtualService", http(fault={}), "spec.http[0].fault", "must have an abort and/or a delay"),
    (
        "VirtualService",
        http(fault={"abort": {"httpStatus": 42}}),
        "spec.http[0].fault.abort.httpStatus",
        "not in range",
    ),
    (
        "VirtualService",
        http(headers={"request": {"remove": [":path"]}}),
        "spec.http[0].headers.request.remove",
        "header :path cannot be changed",
    ),
    (
        "VirtualService",
        {"hosts": ["a"], "http": [{"redirect": {"redirectCode": 200}}]},
        "spec.http[0].redirect.redirectCode",
        "invalid redirect code 200",
    ),
    (
        "VirtualService",
        {"hosts": ["a"], "http": [{"directResponse": {"status": 99}}]},
        "spec.http[0].directResponse.status",
        "not in range",
    ),
    (
        "VirtualService",
        http(fault={"abort": {"grpcStatus": "NOTHING"}}),
        "spec.http[0].fault.abort.grpcStatus",
        'gRPC status "NOTHING" is not supported',
    ),
    (
        "VirtualService",
        http(match=[{"headers": {"x": {"prefix": ""}}}]),
        "spec.http[0].match[0].headers[x]",
        "prefix string match should not be empty",
    ),
    (
        "VirtualService",
        http(match=[{"uri": {"regex": ""}}]),
        "spec.http[0].match[0].uri",
        "regex string match should not be empty",
    ),
    (
        "VirtualService",
        {"hosts": ["a"], "http": [{"directResponse": {"status": 200}, "fault": {"abort": {"httpStatus": 503}}}]},
        "spec.http[0]",
        "cannot contain both fault and directResponse",
    ),
    (
        "VirtualService",
        {"hosts": ["a"], "http": [{"redirect": {"redirectCode": 302}}]},
        "spec.http[0].redirect",
        "redirect must specify",
    ),
    ("VirtualService", http(rewrite={}), "spec.http[0].rewrite", "rewrite must specify"),
    (
        "VirtualService",
        {"hosts": ["a.b", "*.c"], "gateways": ["g"], "tls": [{"match": [{"sniHosts": ["x.c", "b"]}], **ROUTE}]},
        "spec.tls[0].match[0].sniHosts",
        'SNI host "b" is not a compatible subset',
    ),
    ("VirtualService", {"hosts": ["a"], "tcp": [{}]}, "spec.tcp[0].route", "at least is required"),
    (
        "DestinationRule",
        policy(connectionPool={"http": {"useClientProtocol": True, "h2UpgradePolicy": "UPGRADE"}}),
        "spec.trafficPolicy.connectionPool.http.useClientProtocol",
        "must not be true",
    ),
    (
        "DestinationRule",
        policy(outlierDetection={"consecutiveLocalOriginFailures": 1}),
        "spec.trafficPolicy.outlierDetection.consecutiveLocalOriginFailures",
        "splitExternalLocalOriginErrors",
    ),
    (
        "DestinationRule",
        {"host": "a", "subsets": [{"name": "-"}]},
        "spec.subsets[0].name",
        "subset name '-' is invalid",
    ),
    (
        "DestinationRule",
        {"host": "a", "subsets": [{"name": "v"}] * 2},
        "spec.subsets[1].name",
        "duplicate subset names: v",
    ),
    (
        "DestinationRule",
        policy(connectionPool={"http": {"maxRetries": -1}}),
        "spec.trafficPolicy.connectionPool.http.maxRetries",
        "maxRetries must be non-negative",
    ),
    (
        "DestinationRule",
        policy(outlierDetection={"maxEjectionPercent": 101}),
        "spec.trafficPolicy.outlierDetection.maxEjectionPercent",
        "percentage 101 is not in range 0..100",
    ),
    (
        "DestinationRule",
        policy(loadBalancer={"consistentHash": {"useSourceIp": True, "httpHeaderName": "x"}}),
        "spec.trafficPolicy.loadBalancer.consistentHash",
        "only one of httpHeaderName",
    ),
    (
        "DestinationRule",
        policy(loadBalancer={"consistentHash": {"useSourceIp": True, "maglev": {"tableSize": 6}}}),
        "spec.trafficPolicy.loadBalancer.consistentHash.maglev.tableSize",
        "must be prime",
    ),
    ("DestinationRule", policy(tls={"mode": "MUTUAL"}), "spec.trafficPolicy.tls.clientCertificate", "required"),
    (
        "DestinationRule",
        policy(portLevelSettings=[{}]),
        "spec.trafficPolicy.portLevelSettings[0].port",
        "must name a port by its number",
    ),
    ("Gateway", {}, "spec.servers", "gateway must have at least one server"),
    (
        "Gateway",
        {"selector": {"a": "b"}, "servers": server()["servers"] * 2},
        "spec.servers[1].port.name",
        "port names in servers must be unique: duplicate name x",
    ),
    ("Gateway", server("GOPHER"), "spec.servers[0].port.protocol", "invalid protocol 'GOPHER'"),
    ("Gateway", server("HTTPS"), "spec.servers[0].tls", "server must have TLS settings for HTTPS/TLS protocols"),
    ("Gateway", server("HTTPS", tls={"mode": "SIMPLE"}), "spec.servers[0].tls", "requires a server certificate"),
    ("Gateway", server("HTTP", hosts=[]), "spec.servers[0].hosts", "at least one host"),
    ("Gateway", server("HTTP", hosts=["A B/x"]), "spec.servers[0].hosts[0]", "must be a namespace"),
    (
        "Gateway",
        server("HTTP", tls={"mode": "SIMPLE", "credentialName": "a"}),
        "spec.servers[0].tls.mode",
        "cannot have TLS settings for a port of protocol HTTP",
    ),
    (
        "Gateway",
        server("HTTPS", tls={"mode": "ISTIO_MUTUAL", "credentialName": "a"}),
        "spec.servers[0].tls.credentialName",
        "ISTIO_MUTUAL TLS cannot have associated credentialName",
    ),
    (
        "Gateway",
        server("HTTPS", tls={"mode": "SIMPLE", "credentialName": "a", "credentialNames": ["b"]}),
        "spec.servers[0].tls",
        "only one of credentialName",
    ),
    (
        "Gateway",
        server("HTTPS", tls={"mode": "MUTUAL", "serverCertificate": "a", "privateKey": "b"}),
        "spec.servers[0].tls.caCertificates",
        "MUTUAL TLS requires a client CA bundle",
    ),
    (
        "Gateway",
        server("HTTPS", tls={"mode": "MUTUAL", "credentialName": "a", "caCrl": "/b"}),
        "spec.servers[0].tls.caCrl",
        "a CRL is read from a file only",
    ),
    (
        "Gateway",
        {
            "selector": {"a": "b"},
            "servers": [{"port": {"number": 1, "name": "x", "protocol": "TCP", "targetPort": 2}, "hosts": ["*"]}],
        },
        "spec.servers[0].port.targetPort",
        "has no impact",
    ),
    ("PeerAuthentication", {"portLevelMtls": {"80": {}}}, "spec.portLevelMtls", "requires a workload selector"),
    (
        "PeerAuthentication",
        {"selector": {"matchLabels": {"a": "b"}}, "portLevelMtls": {"http": {}}},
        "spec.portLevelMtls[http]",
        "must be a number",
    ),
    (
        "AuthorizationPolicy",
        {"rules": [{"from": [{"source": {"ipBlocks": ["10.0.0"]}}]}]},
        "spec.rules[0].from[0].source.ipBlocks",
        '"10.0.0" is neither an IP address nor a CIDR range',
    ),
    (
        "AuthorizationPolicy",
        {"rules": [{"to": [{"operation": {"ports": ["http"]}}]}]},
        "spec.rules[0].to[0].operation.ports",
        'invalid port "http"',
    ),
    (
        "AuthorizationPolicy",
        {"rules": [{"when": [{"key": "request.colour", "values": ["red"]}]}]},
        "spec.rules[0].when[0].key",
        "unknown attribute: request.colour",
    ),
    ("AuthorizationPolicy", source(), "spec.rules[0].from[0].source", "from.source must not be empty"),
    ("AuthorizationPolicy", operation(), "spec.rules[0].to[0].operation", "to.operation must not be empty"),
    ("AuthorizationPolicy", source(namespaces=[""]), "spec.rules[0].from[0].source.namespaces", "empty value"),
    ("AuthorizationPolicy", operation(methods=["GET", ""]), "spec.rules[0].to[0].operation.methods", "empty value"),
    (
        "AuthorizationPolicy",
        {"rules": [{"when": [{"key": "request.headers[x]", "values": [""]}]}]},
        "spec.rules[0].when[0]",
        "empty value not allowed for key request.headers[x]",
    ),
    (
        "AuthorizationPolicy",
        source(serviceAccounts=["a"], namespaces=["b"]),
        "spec.rules[0].from[0].source",
        "cannot set serviceAccounts with namespaces or principals",
    ),
    (
        "AuthorizationPolicy",
        source(notServiceAccounts=["a/*"]),
        "spec.rules[0].from[0].source.notServiceAccounts",
        "wildcard not allowed",
    ),
    (
        "AuthorizationPolicy",
        source(serviceAccounts=["a/b/c"]),
        "spec.rules[0].from[0].source.serviceAccounts",
        'found "a/b/c"',
    ),
    (
        "AuthorizationPolicy",
        operation(paths=["/a/b{*}"]),
        "spec.rules[0].to[0].operation.paths",
        "stand for whole segments",
    ),
    (
        "AuthorizationPolicy",
        operation(notPaths=["/{**}/a/{*}"]),
        "spec.rules[0].to[0].operation.notPaths",
        "{**} is not the last operator",
    ),
    ("AuthorizationPolicy", {"provider": {"name": "p"}}, "spec.provider", "must not be set with action ALLOW"),
    ("AuthorizationPolicy", {"action": "CUSTOM", "rules": [{}]}, "spec.provider", "provider.name must not be empty"),
    (
        "AuthorizationPolicy",
        {"action": "CUSTOM", "provider": {"name": "p"}, **source(namespaces=["a"])},
        "spec.rules[0].from[0].source.namespaces",
        "not supported with CUSTOM action",
    ),
    (
        "AuthorizationPolicy",
        {"action": "CUSTOM", "provider": {"name": "p"}, **when("source.principal")},
        "spec.rules[0].when[0].key",
        "source.principal is currently not supported with CUSTOM action",
    ),
    ("AuthorizationPolicy", {"rules": [{"from": []}]}, "spec.rules[0].from", "from must not be empty"),
    ("AuthorizationPolicy", {"rules": [{"to": []}]}, "spec.rules[0].to", "to must not be empty"),
    ("AuthorizationPolicy", source(ipBlocks=["10.0.0.0/255.0.0.0"]), f"{SOURCE}.ipBlocks", "CIDR range"),
    ("AuthorizationPolicy", source(ipBlocks=["fe80::1%eth0"]), f"{SOURCE}.ipBlocks", "CIDR range"),
    ("AuthorizationPolicy", source(ipBlocks=["10.0.0.0/"]), f"{SOURCE}.ipBlocks", "CIDR range"),
    ("AuthorizationPolicy", source(trustDomains=["a/b"]), f"{SOURCE}.trustDomains", 'must not contain "/"'),
    ("AuthorizationPolicy", source(trustDomains=["a*b"]), f"{SOURCE}.trustDomains", "wildcard is only allowed"),
    ("AuthorizationPolicy", operation(ports=["²"]), "spec.rules[0].to[0].operation.ports", 'invalid port "²"'),
    ("AuthorizationPolicy", operation(ports=["8" * 5000]), "spec.rules[0].to[0].operation.ports", "invalid port"),
    ("AuthorizationPolicy", when("request.auth.colour"), "spec.rules[0].when[0].key", "unknown attribute"),
    ("AuthorizationPolicy", when("request.headers[x]\n"), "spec.rules[0].when[0].key", "line break"),
    ("AuthorizationPolicy", when("experimental.envoy.filters.a"), "spec.rules[0].when[0].key", "unknown attribute"),
    (
        "AuthorizationPolicy",
        {"selector": {"matchLabels": {"app": "a*"}}},
        "spec.selector.matchLabels",
        'wildcard or empty key in selector: "app=a*"',
    ),
    (
        "AuthorizationPolicy",
        {"selector": {}, "targetRefs": [{"kind": "Service", "name": "a"}]},
        "spec.targetRefs",
        "only one of targetRefs or workloadSelector can be set",
    ),
    ("AuthorizationPolicy", {"targetRefs": [{"kind": "Pod", "name": "a"}]}, "spec.targetRefs[0].kind", "but was /Pod"),
    ("PeerAuthentication", {"selector": {"matchLabels": {"a": "*"}}}, "spec.selector.matchLabels", "wildcard"),
    ("Sidecar", {"egress": [{"hosts": ["a"]}]}, "spec.egress[0].hosts[0]", "not of the form namespace/dnsName"),
    (
        "Sidecar",
        {"inboundConnectionPool": {"http": {"http2MaxRequests": -1}}},
        "spec.inboundConnectionPool.http.http2MaxRequests",
        "must be non-negative",
    ),
]


@pytest.mark.parametrize(("kind", "spec", "path", "words"), CASES)
def test_what_is_wrong_is_said_with_its_place(kind: str, spec: dict[str, Any], path: str, words: str) -> None:
    errors = [problem for problem in validate(decode(kind, spec)) if problem.severity == "error"]
    assert (errors[0].path, words in errors[0].message) == (path, True), errors


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("VirtualService", http(match=[{"uri": {"regex": r"[[:alpha:]]+\pL(?i)x\z"}}])),
        ("VirtualService", http(match=[{"uri": {"prefix": ""}}])),
        ("VirtualService", http(match=[{"headers": {"x": {}}}], timeout="1ms", retries={"attempts": 0})),
        ("VirtualService", {"hosts": ["*"], "gateways": ["front"], "http": [ROUTE]}),
        ("DestinationRule", {"host": "*.local", "subsets": [{"name": "V1-2a"}]}),
        ("Gateway", server("HTTP", tls={"httpsRedirect": True})),
        ("AuthorizationPolicy", {"rules": [{}]}),
        ("AuthorizationPolicy", {"rules": [{"from": [{"source": {"ipBlocks": ["10.1.2.3/8", "::1"]}}]}]}),
        ("AuthorizationPolicy", operation(paths=["/{*}/a/{**}", "/a*", "*b", "/{**}/x", "/"])),
        ("AuthorizationPolicy", source(serviceAccounts=["a", "b/c"])),
        ("AuthorizationPolicy", source(trustDomains=["a", "*", "*.b", "c*"])),
        ("AuthorizationPolicy", when("source.trustDomain")),
        ("AuthorizationPolicy", when("experimental.envoy.filters.network.mysql_proxy[db.table]")),
        ("PeerAuthentication", {}),
    ],
)
def test_what_is_right_is_let_through(kind: str, spec: dict[str, Any]) -> None:
    assert validate(decode(kind, spec)) == ()


TLS_ROUTE: dict[str, Any] = {"hosts": ["a"], "tls": [{"match": [{"sniHosts": ["a"]}], **ROUTE}]}


@pytest.mark.parametrize(
    ("kind", "spec", "path"),
    [
        ("VirtualService", http(fault={"abort": {"httpStatus": 503}}), "spec.http[0].fault.abort.percentage"),
        (
            "DestinationRule",
            policy(tls={"mode": "SIMPLE", "credentialName": "a"}),
            "spec.workloadSelector",
        ),
        ("Sidecar", {"egress": [{"hosts": ["./*"], "captureMode": "NONE"}]}, "spec.egress[0].captureMode"),
        ("Gateway", server(defaultEndpoint="127.0.0.1:80"), "spec.servers[0].defaultEndpoint"),
    ],
)
def test_what_has_no_effect_is_a_warning_that_does_not_stop_it(kind: str, spec: dict[str, Any], path: str) -> None:
    assert [(p.severity, p.path) for p in validate(decode(kind, spec))] == [("warning", path)]


def test_at_gateways_tls_is_routed_and_draws_no_warning() -> None:
    assert not validate(decode("VirtualService", TLS_ROUTE))
