"""Where Istio's validation draws its lines: what it refuses is refused, what it takes is taken."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_lab.controlplane.istiokinds import decode, validate
from mesh_lab.controlplane.model import DecodeError

ROUTE: dict[str, Any] = {"route": [{"destination": {"host": "a"}}]}


def virtual_service(**more: Any) -> dict[str, Any]:
    return {"hosts": ["a"], "http": [ROUTE], **more}


def http(**rule: Any) -> dict[str, Any]:
    return {"hosts": ["a"], "http": [ROUTE | rule]}


def to(**destination: Any) -> dict[str, Any]:
    return {"hosts": ["a"], "http": [{"route": [{"destination": destination}]}]}


def match(**conditions: Any) -> dict[str, Any]:
    return http(match=[conditions])


def rule(**more: Any) -> dict[str, Any]:
    return {"host": "a", **more}


def policy(**settings: Any) -> dict[str, Any]:
    return rule(trafficPolicy=settings)


def balancer(**settings: Any) -> dict[str, Any]:
    return policy(loadBalancer=settings)


def locality(**settings: Any) -> dict[str, Any]:
    return balancer(localityLbSetting=settings)


def server(protocol: str = "HTTP", hosts: tuple[str, ...] = ("*",), name: str = "x", **more: Any) -> dict[str, Any]:
    port = {"number": 80, "name": name, "protocol": protocol}
    return {"selector": {"a": "b"}, "servers": [{"port": port, "hosts": list(hosts), **more}]}


def egress(*listeners: dict[str, Any]) -> dict[str, Any]:
    return {"egress": list(listeners)}


def ingress(*listeners: dict[str, Any]) -> dict[str, Any]:
    return {"ingress": list(listeners)}


ALL = {"hosts": ["./*"]}
LONG = ".".join(["a" * 60] * 5)
HTTP_80 = {"number": 80, "protocol": "HTTP"}


def redirect(**fields: Any) -> dict[str, Any]:
    return {"hosts": ["a"], "http": [{"redirect": fields}]}


def zones(**setting: Any) -> dict[str, Any]:
    return balancer(zoneAwareLbSetting=setting)


def cookie(*attributes: dict[str, str]) -> dict[str, Any]:
    return balancer(consistentHash={"httpCookie": {"name": "a", "attributes": [*attributes]}})


def outbound(mode: str, proxy: dict[str, Any]) -> dict[str, Any]:
    return {"outboundTrafficPolicy": {"mode": mode, "egressProxy": proxy}}


HTTPS_80 = {"number": 80, "protocol": "HTTPS"}
SOCKET = {"port": {"number": 0, "protocol": "HTTP"}, "bind": "unix:///a"}
PROXY = {"host": "a.b", "port": {"number": 80}}


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("VirtualService", virtual_service(hosts=["*.b.c", "a.b.c"]), "duplicate hosts"),
    ("VirtualService", virtual_service(hosts=["a.b.c", "*.c"]), "duplicate hosts"),
    ("VirtualService", virtual_service(hosts=["*.c", "*.b.c"]), "duplicate hosts"),
    ("VirtualService", virtual_service(hosts=["*", "a"], gateways=["g"]), "duplicate hosts"),
    ("VirtualService", virtual_service(hosts=["a_b"]), "invalid"),
    ("VirtualService", virtual_service(hosts=["a.7"]), "all-numeric"),
    ("VirtualService", virtual_service(hosts=["*a.b"]), "whole labels"),
    ("VirtualService", virtual_service(hosts=[LONG]), "length <= 255"),
    ("VirtualService", virtual_service(hosts=[""]), "empty domain name"),
    ("VirtualService", virtual_service(gateways=["a/"]), "cannot be empty"),
    ("VirtualService", virtual_service(gateways=["a_/b"]), "invalid value for namespace"),
    ("VirtualService", virtual_service(gateways=["a/b_"]), "invalid value for gateway name"),
    ("VirtualService", virtual_service(exportTo=["a", "a"]), "duplicate entries in exportTo"),
    ("VirtualService", virtual_service(exportTo=["*", "a"]), "cannot have both public"),
    ("VirtualService", virtual_service(exportTo=["~"]), "not allowed"),
    ("VirtualService", virtual_service(exportTo=["a_"]), "only .,*, or a valid"),
    ("VirtualService", to(host="*"), "invalid destination host"),
    ("VirtualService", to(host=""), "empty domain name"),
    ("VirtualService", to(host="10.0.0.1"), "all-numeric"),
    ("VirtualService", to(host="a", subset="v_1"), "subset name is invalid"),
    ("VirtualService", to(host="a", port={"number": 0}), "must be in the range"),
    ("VirtualService", http(mirror={"host": "*"}), "invalid destination host"),
    ("VirtualService", http(mirrors=[{"destination": {"host": "a b"}}]), "invalid"),
    ("VirtualService", http(timeout="0s"), "greater than 1ms"),
    ("VirtualService", http(retries={"attempts": 1, "perTryTimeout": "0s"}), "greater than 1ms"),
    ("VirtualService", http(retries={"retryRemoteLocalities": True}), "attempts are set to 0"),
    ("VirtualService", http(retries={"attempts": 1, "retryOn": "5xx, reset"}), '" reset" is not a valid'),
    ("VirtualService", http(retries={"attempts": 1, "retryOn": "5xx,"}), "is not a valid"),
    ("VirtualService", match(headers={"a b": {"exact": "x"}}), "spec.http[0].match[0].headers"),
    ("VirtualService", match(headers={"x": {"regex": "*"}}), "invalid regex"),
    ("VirtualService", match(port=70000), "must be in the range"),
    ("VirtualService", match(sourceLabels={"a b": "x"}), "invalid tag key"),
    ("VirtualService", match(sourceLabels={"a": "x y"}), "invalid tag value"),
    ("VirtualService", match(sourceNamespace="a_b"), "sourceNamespace"),
    ("VirtualService", match(gateways=["a/b/c"]), "invalid value for gateway name"),
    ("VirtualService", http(headers={"request": {"remove": ["Host"]}}), "only on a request"),
    ("VirtualService", http(headers={"response": {"add": {"host": "x"}}}), "only on a request"),
    (
        "VirtualService",
        http(headers={"request": {"set": {"host": "x"}, "add": {":authority": "y"}}}),
        "cannot be set multiple times: 'x', 'y'",
    ),
    (
        "VirtualService",
        http(rewrite={"authority": "x"}, headers={"request": {"add": {"Host": "y"}}}),
        "cannot be set multiple times",
    ),
    ("VirtualService", http(rewrite={"uriRegexRewrite": {"match": "a"}}), "requires both"),
    ("VirtualService", {"hosts": ["a"], "http": [{"redirect": {"scheme": "ftp"}}]}, "invalid redirect scheme"),
    (
        "VirtualService",
        {"hosts": ["a"], "http": [{"directResponse": {"status": 200, "body": {"string": "x" * 1_100_000}}}]},
        "large direct responses",
    ),
    ("VirtualService", http(corsPolicy={"allowMethods": ["BREW"]}), "not a supported HTTP method"),
    ("VirtualService", http(corsPolicy={"allowHeaders": ["a b"]}), "spec.http[0].corsPolicy.allowHeaders[0]"),
    ("VirtualService", http(corsPolicy={"exposeHeaders": [""]}), "spec.http[0].corsPolicy.exposeHeaders[0]"),
    ("VirtualService", {"hosts": ["a"], "tcp": [{"route": [{"destination": {"host": "*"}}]}]}, "invalid destination"),
    ("VirtualService", {"hosts": ["a"], "tcp": [{"match": [{"gateways": ["/"]}], **ROUTE}]}, "cannot be empty"),
    ("VirtualService", {"hosts": ["a"], "tls": [{"match": [], **ROUTE}]}, "at least one match condition"),
    ("DestinationRule", policy(), "traffic policy must have at least one field"),
    ("DestinationRule", rule(subsets=[{"name": "v1", "trafficPolicy": {}}]), "at least one field"),
    ("DestinationRule", policy(portLevelSettings=[{"port": {"number": 80}}]), "port traffic policy must have"),
    ("DestinationRule", policy(connectionPool={}), "connection pool must have at least one field"),
    ("DestinationRule", policy(connectionPool={"http": {"idleTimeout": "0s"}}), "greater than 1ms"),
    ("DestinationRule", {"host": "10.0.0.1"}, "all-numeric"),
    ("DestinationRule", rule(subsets=[{"name": "v1.2"}]), "is invalid"),
    ("DestinationRule", rule(subsets=[{"name": "v1", "labels": {"-a": "b"}}]), "invalid tag key"),
    ("DestinationRule", rule(exportTo=[".", "*"]), "cannot have both public"),
    ("DestinationRule", rule(workloadSelector={"matchLabels": {"a": "*"}}), "wildcard is not supported"),
    ("DestinationRule", rule(workloadSelector={"matchLabels": {"a": "b"}}, exportTo=["*"]), "beyond current namespace"),
    ("DestinationRule", policy(tunnel={"targetHost": "*.a", "targetPort": 1}), "valid FQDN"),
    ("DestinationRule", policy(tunnel={"targetHost": "a", "targetPort": 0}), "must be in the range"),
    ("DestinationRule", policy(tunnel={"targetHost": "a", "targetPort": 1, "protocol": "GET"}), "CONNECT"),
    (
        "DestinationRule",
        policy(tunnel={"targetHost": "a", "targetPort": 1}, proxyProtocol={"version": "V1"}),
        "must not be set together",
    ),
    ("DestinationRule", balancer(consistentHash={"httpCookie": {"name": ""}}), "consistentHash.httpCookie.name"),
    ("DestinationRule", balancer(consistentHash={"useSourceIp": True, "maglev": {}}), "tableSize must be set"),
    (
        "DestinationRule",
        balancer(consistentHash={"useSourceIp": True, "minimumRingSize": 9, "ringHash": {"minimumRingSize": 9}}),
        "only one of minimumRingSize",
    ),
    ("DestinationRule", locality(distribute=[{"from": "a", "to": {"b": 90}}]), "total locality weight 90 != 100"),
    ("DestinationRule", locality(distribute=[{"from": "a", "to": {"b": 0, "c": 100}}]), "range [1, 100]"),
    ("DestinationRule", locality(distribute=[{"from": "a/*/b", "to": {"b": 100}}]), "must be in the end"),
    ("DestinationRule", locality(distribute=[{"from": "a//b", "to": {"b": 100}}]), "must not contain empty"),
    (
        "DestinationRule",
        locality(distribute=[{"from": "a", "to": {"b/*": 50, "b/c": 50}}]),
        "overlap with previous specified ones",
    ),
    ("DestinationRule", locality(failover=[{"from": "a", "to": "a"}]), "different regions"),
    ("DestinationRule", locality(failover=[{"from": "a/b", "to": "c"}]), "only specify region"),
    (
        "DestinationRule",
        locality(failover=[{"from": "a", "to": "b"}], distribute=[{"from": "a", "to": {"b": 100}}]),
        "simultaneously",
    ),
    (
        "DestinationRule",
        policy(tls={"mode": "MUTUAL", "credentialName": "x", "caCertificates": "/a"}),
        "if credentialName is set",
    ),
    (
        "DestinationRule",
        policy(tls={"mode": "SIMPLE", "insecureSkipVerify": True, "subjectAltNames": ["a"]}),
        "when insecureSkipVerify is true",
    ),
    ("Gateway", server(hosts=("short",)), "short names"),
    ("Gateway", server(hosts=("*a.b",)), "whole labels"),
    ("Gateway", server(hosts=("/a.b",)), "cannot be empty"),
    ("Gateway", server(hosts=("~/a.b",)), "must be a namespace"),
    ("Gateway", server(name=""), "port name must be set"),
    ("Gateway", server(bind="here"), "not a valid IP"),
    ("Gateway", server("TCP", tls={}), "cannot have TLS settings"),
    ("Gateway", server("HTTPS"), "must have TLS settings"),
    ("Gateway", server("HTTP", tls={"serverCertificate": "/a"}), "cannot have TLS settings"),
    ("Gateway", server("HTTP", tls={"mode": "ISTIO_MUTUAL"}), "cannot have TLS settings"),
    ("Sidecar", {}, "empty configuration provided"),
    ("Sidecar", {"workloadSelector": {"labels": {"a": "b"}}}, "empty configuration provided"),
    ("Sidecar", egress({"hosts": []}), "at least one host"),
    ("Sidecar", egress({"hosts": ["./short"]}), "short names"),
    ("Sidecar", egress({"hosts": ["a_/*"]}), "must be a namespace"),
    ("Sidecar", egress(ALL, {**ALL, "port": HTTP_80}), "should be the last listener"),
    ("Sidecar", egress({**ALL, "port": HTTP_80}, {**ALL, "port": HTTP_80}), "must be unique"),
    ("Sidecar", egress({**ALL, "port": {"number": 80, "protocol": "PIGEON"}}), "unsupported protocol"),
    ("Sidecar", {**egress(ALL), "workloadSelector": {"labels": {"": "b"}}}, "empty key"),
    ("Sidecar", ingress({"port": HTTP_80}, {"port": HTTP_80}), "must be unique"),
    ("Sidecar", ingress({"port": HTTP_80, "defaultEndpoint": "10.0.0.1:80"}), "defaultEndpoint must be of form"),
    ("Sidecar", ingress({"port": {**HTTP_80, "targetPort": 1}}), "targetPort has no impact"),
    ("VirtualService", {"gateways": ["g"], "http": [ROUTE]}, "delegate virtual service must have no gateways"),
    ("VirtualService", {"tcp": [ROUTE]}, "delegate virtual service must have no tcp"),
    ("VirtualService", {"http": [{"delegate": {"name": "a"}}]}, "delegate HTTP route cannot contain delegate"),
    ("VirtualService", http(delegate={"name": "b"}), "spec.http[0].route: a route that delegates"),
    ("VirtualService", {"hosts": ["a"], "http": [{"delegate": {}, "redirect": {"uri": "/"}}]}, "spec.http[0].redirect"),
    ("VirtualService", match(headers={"@request.auth.claims.a": {"exact": "b"}}), "only supported for gateway"),
    ("VirtualService", match(headers={"@request.auth.claim": {"exact": "b"}}), "not a valid header name"),
    ("VirtualService", http(timeout="1.5ms"), "only durations to ms precision"),
    ("VirtualService", http(corsPolicy={"maxAge": "1500ms"}), "seconds precision"),
    ("VirtualService", http(corsPolicy={"maxAge": "0s"}), "greater than 1ms"),
    ("VirtualService", redirect(port=80, derivePort="FROM_REQUEST_PORT"), "only one of port and derivePort"),
    ("VirtualService", redirect(port=70000), "must be in the range"),
    ("VirtualService", redirect(uri="/a", prefixRewrite="/b"), "only specify one of uri or prefixRewrite"),
    (
        "VirtualService",
        {"hosts": ["a"], "http": [{"match": [{"uri": {"exact": "/"}}], "redirect": {"prefixRewrite": "/b"}}]},
        "needs uri matches by prefix",
    ),
    ("VirtualService", {"hosts": ["a"], "tcp": [{"match": [{"destinationSubnets": ["a"]}], **ROUTE}]}, "CIDR range"),
    ("DestinationRule", balancer(warmup={"duration": "0s"}), "greater than 1ms"),
    ("DestinationRule", balancer(warmup={"duration": "1s"}, warmupDurationSecs="1s"), "only one of warmupDurationSecs"),
    ("DestinationRule", balancer(warmup={"duration": "1s", "aggression": 0}), "> 0"),
    ("DestinationRule", balancer(localityLbSetting={}, zoneAwareLbSetting={}), "only one of localityLbSetting"),
    ("DestinationRule", zones(failoverPriority=["topology.kubernetes.io/zone"]), "must not use topology label"),
    ("DestinationRule", zones(failover=[{"from": "a", "to": "a"}]), "zone aware lb failover settings"),
    ("DestinationRule", cookie({"name": ""}), "attribute name cannot be empty"),
    ("DestinationRule", cookie({"name": "a"}, {"name": "a"}), "duplicate cookie attribute name: a"),
    ("DestinationRule", balancer(consistentHash={"maglev": {"tableSize": 5000011}}), "must be prime"),
    ("DestinationRule", policy(connectionPool={"http": {"http2KeepAlive": {"interval": "1s"}}}), "timeout is required"),
    ("DestinationRule", policy(outlierDetection={"outlierDetectionHttpErrorCodes": [99]}), ">= 100"),
    ("DestinationRule", policy(retryBudget={"percent": 101}), "<= 100"),
    ("Gateway", server(bind="unix://a"), "not the absolute path of a file"),
    ("Gateway", server(bind="unix:///a"), "must be 0 for a unix domain socket"),
    ("Gateway", server("HTTPS", tls={"mode": "SIMPLE", "tlsCertificates": [{"privateKey": "/a"}]}), "server certif"),
    ("Gateway", server("HTTPS", tls={"mode": "SIMPLE", "credentialNames": ["a", "b", "c"]}), "length <= 2"),
    ("Gateway", server("HTTPS", tls={"mode": "ISTIO_MUTUAL", "tlsCertificates": [{}]}), "associated tlsCertificates"),
    ("Sidecar", egress({**ALL, "port": {"number": 0}}), "must have a unix domain socket"),
    ("Sidecar", egress({**ALL, "port": {"number": 0}, "bind": "unix://a"}), "not the absolute path"),
    ("Sidecar", egress({**ALL, **SOCKET, "captureMode": "IPTABLES"}), "captureMode must be DEFAULT/NONE"),
    ("Sidecar", egress({**ALL, **SOCKET}, {**ALL, **SOCKET}), "socket values for listeners must be unique"),
    ("Sidecar", egress({**ALL, "port": HTTP_80, "bind": "here"}), "spec.egress[0].bind: here is not a valid IP"),
    ("Sidecar", egress({**ALL, "port": {**HTTP_80, "name": "a_b"}}), "invalid port name"),
    ("Sidecar", ingress({"port": HTTP_80, "bind": "unix:///a"}), "spec.ingress[0].bind"),
    ("Sidecar", ingress({"port": HTTP_80, "defaultEndpoint": "unix://a"}), "not the absolute path"),
    ("Sidecar", ingress({"port": HTTP_80, "defaultEndpoint": "127.0.0.1:0"}), "defaultEndpoint must be of form"),
    ("Sidecar", ingress({"port": HTTP_80, "tls": {}}), "cannot have TLS settings for non HTTPS/TLS ports"),
    ("Sidecar", ingress({"port": HTTPS_80, "tls": {"mode": "ISTIO_MUTUAL"}}), "cannot set mode to ISTIO_MUTUAL"),
    ("Sidecar", ingress({"port": HTTPS_80, "tls": {"mode": "SIMPLE"}}), "requires a server certificate"),
    (
        "Sidecar",
        ingress({"port": HTTPS_80, "tls": {"mode": "SIMPLE", "credentialName": "a"}}),
        "credentialName is not supported",
    ),
    ("Sidecar", ingress({"port": HTTP_80, "connectionPool": {}}), "spec.ingress[0].connectionPool: connection pool"),
    ("Sidecar", outbound("REGISTRY_ONLY", PROXY), "only with mode ALLOW_ANY"),
    ("Sidecar", outbound("ALLOW_ANY", {"host": "a.b"}), "egressProxy must have a port"),
    ("Sidecar", outbound("ALLOW_ANY", {**PROXY, "host": "*.a"}), "a wildcard names no host"),
    ("ProxyConfig", {"environmentVariables": {"A": "x" * 2049}}, "length <= 2048"),
]

TAKEN: list[tuple[str, dict[str, Any]]] = [
    ("VirtualService", virtual_service(hosts=["10.0.0.1", "a", "a.b.", "*.b"])),
    ("VirtualService", virtual_service(gateways=["mesh", "front", "ns/front"])),
    ("VirtualService", virtual_service(exportTo=[".", "other"])),
    ("VirtualService", http(headers={"request": {"add": {"host": "x", "b": "c"}}})),
    ("VirtualService", match(uri={}, method={}, headers={"x": {}, ":path": {"exact": "/"}})),
    ("VirtualService", match(withoutHeaders={"x": {"regex": "*"}})),
    ("VirtualService", match(sourceLabels={"app.kubernetes.io/name": "", "a": "b.c_d"})),
    ("VirtualService", http(fault={"delay": {"percentage": {"value": 1}}})),
    ("VirtualService", http(fault={"abort": {"percentage": {"value": 1}}})),
    ("VirtualService", http(corsPolicy={"allowMethods": ["*", "GET"], "allowHeaders": ["*"]})),
    ("DestinationRule", balancer(consistentHash={})),
    ("DestinationRule", {"host": "*"}),
    ("DestinationRule", rule(workloadSelector={"matchLabels": {"a": "b"}}, exportTo=["."])),
    ("DestinationRule", locality(distribute=[{"from": "a/b/*", "to": {"a/b/c": 60, "a/d/*": 40}}])),
    ("DestinationRule", policy(connectionPool={"tcp": {"idleTimeout": "0s"}})),
    ("Gateway", server("HTTP", tls={})),
    ("Gateway", server("HTTPS", tls={})),
    ("Gateway", server("TLS", tls={})),
    ("Gateway", server("TLS", tls={"mode": "PASSTHROUGH", "credentialName": "ignored"})),
    ("Gateway", server("HTTPS", tls={"httpsRedirect": True, "mode": "SIMPLE", "credentialName": "a"})),
    ("Gateway", server(hosts=("10.0.0.1", "ns/*.b.c", "./*", "*/a.b"), bind="::1")),
    ("Sidecar", {"outboundTrafficPolicy": {"mode": "ALLOW_ANY"}}),
    ("Sidecar", egress({**ALL, "port": HTTP_80}, {"hosts": ["~/*"]})),
    ("Sidecar", {**egress(ALL), "workloadSelector": {}}),
    ("Sidecar", ingress({"port": HTTP_80, "defaultEndpoint": "unix:///var/run/x"})),
    ("Sidecar", ingress({"port": HTTP_80, "defaultEndpoint": "[::1]:80"})),
    ("VirtualService", http(corsPolicy={"maxAge": "24h", "unmatchedPreflights": "IGNORE"})),
    ("DestinationRule", balancer(simple="ROUND_ROBIN", warmup={"duration": "30s", "minimumPercent": 10})),
    ("DestinationRule", zones(failover=[{"from": "a", "to": "b"}], failoverPriority=["version"], minClusterSize=1)),
    ("DestinationRule", cookie({"name": "SameSite", "value": "Strict"}, {"name": "Secure"})),
    ("DestinationRule", policy(retryBudget={"percent": 25, "minRetryConcurrency": 5, "budgetInterval": "0s"})),
    ("Gateway", server("HTTPS", tls={"mode": "SIMPLE", "credentialName": "a", "cipherSuites": ["unheard-of"]})),
    ("Sidecar", egress({**ALL, **SOCKET, "captureMode": "NONE"}, {**ALL, "port": HTTP_80, "bind": "127.0.0.1"})),
]

DOUBTFUL: list[tuple[str, dict[str, Any], str]] = [
    ("VirtualService", http(mirror={"host": "b"}, mirrorPercent=5), "spec.http[0].mirrorPercent"),
    ("DestinationRule", zones(failoverPriority=["version"]), "spec.trafficPolicy.loadBalancer.zoneAwareLbSetting"),
    ("DestinationRule", locality(failoverPriority=["version"]), "spec.trafficPolicy.loadBalancer.localityLbSetting"),
    (
        "Gateway",
        server("HTTPS", tls={"mode": "SIMPLE", "credentialName": "a", "minProtocolVersion": "TLSV1_1"}),
        "spec.servers[0].tls.minProtocolVersion",
    ),
    (
        "Gateway",
        server("HTTPS", tls={"mode": "SIMPLE", "credentialName": "a", "cipherSuites": ["AES128-SHA"] * 2}),
        "spec.servers[0].tls.cipherSuites[1]",
    ),
    ("Sidecar", egress({"hosts": ["a/b.c", "a/b.c"]}), "spec.egress[0].hosts[1]"),
    ("Sidecar", egress({"hosts": ["*/*", "a/b.c"]}), "spec.egress[0].hosts"),
    (
        "Sidecar",
        ingress({"port": {"number": 80, "protocol": "TCP"}, "connectionPool": {"http": {"maxRetries": 1}}}),
        "spec.ingress[0].connectionPool.http",
    ),
]


def errors(kind: str, spec: dict[str, Any]) -> list[str]:
    return [f"{p.path}: {p.message}" for p in validate(decode(kind, spec)) if p.severity == "error"]


@pytest.mark.parametrize(("kind", "spec", "words"), REFUSED)
def test_what_istio_rejects_is_an_error(kind: str, spec: dict[str, Any], words: str) -> None:
    try:
        found = errors(kind, spec)
    except DecodeError as error:
        found = [str(error)]
    assert any(words in error for error in found), found
    assert all(error.startswith("spec") for error in found)


@pytest.mark.parametrize(("kind", "spec", "path"), DOUBTFUL)
def test_what_istio_warns_of_is_warned_of(kind: str, spec: dict[str, Any], path: str) -> None:
    assert errors(kind, spec) == []
    assert path in [problem.path for problem in validate(decode(kind, spec)) if problem.severity == "warning"]


@pytest.mark.parametrize(("kind", "spec"), TAKEN)
def test_what_istio_takes_is_taken(kind: str, spec: dict[str, Any]) -> None:
    assert errors(kind, spec) == []


@pytest.mark.parametrize(
    ("hosts", "taken"),
    [(["~/*"], True), (["*/*", "~ns1/*"], True), (["*/*", "~/foo.com"], True), (["*/*", "~Invalid_NS/*"], False)],
)
def test_hosts_are_excluded_by_a_tilde(hosts: list[str], taken: bool) -> None:
    assert (errors("Sidecar", egress({"hosts": hosts})) == []) is taken
