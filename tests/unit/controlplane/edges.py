"""Resources in which one field is at the edge of its range, and all others are plain: made from the model's own types.

A field that is added to the model is covered by that. What it needs beside it to be of use stands in `BESIDE`.
"""

from __future__ import annotations

import copy
import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import msgspec

from mesh_lab.controlplane.istiokinds import KINDS
from mesh_lab.controlplane.model.units import DURATION_PATTERN

INTEGERS = (
    *(-(2**63), -(2**31), -1, 0, 1, 2, 3, 7, 10, 50, 80, 99, 100, 101, 199, 200, 444, 503, 599, 600),
    *(1023, 1024, 8080, 15001, 32767, 32768, 65535, 65536),
    *(2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**53, 2**63 - 1, 2**63, 2**64 - 1, 2**64),
)
NUMBERS = (-1e308, -1, -1e-9, 0, 1e-9, 1e-4, 0.5, 1, 99.9999999, 100, 100.0000001, 101, 1e10, 1e300)
DURATIONS = (
    *("0s", "1ns", "999us", "1ms", "1.5ms", "1s", "999ms999us999ns", "32767s", "32768s", "2147483647s", "2147483648s"),
    *("4294967295s", "4294967296s", "1000000h", "9223372035s", "9223372036s", "2562047h", "2562048h", "9999999h"),
    *("315576000000s", "315576000001s", "99999999999999999999h", "0.0000000001s"),
)
STRINGS = (
    *("", " ", "a", "A", "a b", "a.b-c_d", "-a", "a.", "*", "*.a", "a*", "**", "/", "//", "./a", "a/b", "*/a", "~/*"),
    *("é", "日本", "\n", "a\nb", "\r", "\x00", "a\x00", "\x1f", "\t", "\x7f", "\ud7ff", "1", "-1", "65536", "0x1"),
    *("%", "%%", "%FOO%", "%REQ(x)%", "%REQ(", "%PROTOCOL%", "%START_TIME(%f)%", "{", "{a}", "{*}", "\\", "\\1", '"'),
    *("x" * 63, "x" * 64, "x" * 200, "x" * 255, "x" * 256, "x" * 1025, "x" * 17_000, "a." * 126 + "a", "10.0.0.0/8"),
    *("10.0.0.1", "::1", "::/0", "1.2.3.4/33", ":path", ":authority", "host", "Content-Length", "http", "GET", "5xx"),
)
# Fields with a language of their own, judged elsewhere; and files, which are there or not.
GIVEN: dict[str, tuple[Any, ...]] = {
    "regex": ("a", "a.*", "(a|b)[0-9]{1,3}"),
    "pathRegex": ("/a", "/a.*", "/(a|b)[0-9]{1,3}"),
    "filter": ("", "Service.Meta.version == v1", '"v1" in Service.Tags', "Node.Name == a", "("),
    **dict.fromkeys(("serverCertificate", "clientCertificate", "privateKey", "caCertificates", "caCrl"), ("",)),
}
# By type, what a field needs beside it; by type and field, what it cannot have.
BESIDE: dict[str, dict[str, Any]] = {
    "VirtualService": {"hosts": ["a"], "http": [{"route": [{"destination": {"host": "reviews"}}]}]},
    "Destination": {"host": "reviews"},
    "HTTPRoute": {"route": [{"destination": {"host": "reviews"}}]},
    "TCPRoute": {"route": [{"destination": {"host": "reviews"}}]},
    "TLSMatchAttributes": {"sniHosts": ["a"]},
    "TLSRoute": {"match": [{"sniHosts": ["a"]}], "route": [{"destination": {"host": "reviews"}}]},
    "HTTPRetry": {"attempts": 3},
    "HTTPRedirect": {"authority": "a"},
    "HTTPDirectResponse": {"status": 418},
    "HTTPRewrite": {"authority": "a"},
    "RegexRewrite": {"match": "^/(.*)", "rewrite": "/\\1"},
    "Delay": {"fixedDelay": "1s", "percentage": {"value": 50}},
    "Abort": {"httpStatus": 503, "percentage": {"value": 50}},
    "DestinationRule": {"host": "a"},
    "ConsistentHashLB": {"httpHeaderName": "x"},
    "HTTPCookie": {"name": "x"},
    "Maglev": {"tableSize": 5003},
    "LoadBalancerSettings": {},
    "OutlierDetection": {"splitExternalLocalOriginErrors": True},
    "PortTrafficPolicy": {"port": {"number": 9080}},
    "Subset": {"name": "v1", "labels": {"version": "v1"}},
    "ClientTLSSettings": {"mode": "SIMPLE"},
    "Gateway": {
        "selector": {"app": "gate"},
        "servers": [{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}],
    },
    "Server": {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]},
    "ServerPort": {"number": 80, "name": "http", "protocol": "HTTP"},
    "ServerTLSSettings": {"mode": "MUTUAL", "credentialName": "cert"},
    "PeerAuthentication": {"selector": {"matchLabels": {"app": "reviews"}}},
    "From": {"source": {"namespaces": ["a"]}},
    "To": {"operation": {"methods": ["GET"]}},
    "Condition": {"key": "request.headers[x]", "values": ["a"]},
    "ExtensionProvider": {"name": "a"},
    "PolicyTargetReference": {"kind": "Service", "name": "a"},
    "JWTRule": {"issuer": "a"},
    "TagOverride": {"value": "a"},
    "LogFilter": {"expression": "true"},
    "WasmPlugin": {"url": "oci://a/b", "phase": "STATS", "failStrategy": "FAIL_OPEN"},
    "WasmConfig": {"url": "oci://a/b", "failStrategy": "FAIL_OPEN"},
    "TrafficExtension": {"lua": {"inlineCode": "a = 1"}},
    "ServiceEntry": {"hosts": ["a.example"], "resolution": "STATIC"},
    "WorkloadEntry": {"address": "10.0.0.1"},
    "ReadinessProbe": {"exec": {"command": ["true"]}},
    "EnvoyConfigObjectPatch": {"applyTo": "HTTP_FILTER", "patch": {"operation": "REMOVE"}},
    "ConnectionKeepalive": {"interval": "1s", "timeout": "1s"},
    "OutboundTrafficPolicy": {"mode": "ALLOW_ANY"},
    # Consul's
    "ServiceDefaults": {"protocol": "http"},
    "Upstream": {"name": "reviews"},
    "ServiceResolver": {"subsets": {"x": {"filter": "Service.Meta.version == v1"}, "y": {}}},
    "ServiceResolverRedirect": {"service": "reviews"},
    "ServiceResolverFailover": {"serviceSubset": "y"},
    "FailoverTarget": {"serviceSubset": "y"},
    "LoadBalancer": {"policy": "ring_hash"},
    "HashPolicy": {"field": "cookie", "fieldValue": "a"},
    "ServiceSplitter": {"splits": [{"weight": 100}]},
    "ServiceSplit": {"weight": 100},
    "ServiceRouteHTTPMatch": {"pathPrefix": "/a"},
    "HeaderMatch": {"exact": "a"},
    "HeaderPermission": {"exact": "a"},
    "QueryParamMatch": {"exact": "a"},
    "ServiceIntentions": {
        "destination": {"name": "reviews"},
        "sources": [{"name": "productpage", "action": "deny"}],
    },
    "SourceIntention": {"name": "productpage", "action": "deny"},
    "IntentionPermission": {"action": "deny", "http": {"pathPrefix": "/a"}},
    "IntentionHTTPPermission": {"methods": ["GET"]},
}
INSTEAD: dict[tuple[str, str], tuple[str, ...]] = {
    ("HTTPRoute", "redirect"): ("route",),
    ("HTTPRoute", "directResponse"): ("route",),
    ("HTTPRoute", "delegate"): ("route",),
    ("Abort", "grpcStatus"): ("httpStatus",),
    ("Abort", "http2Error"): ("httpStatus",),
    ("VirtualService", "tcp"): ("http",),
    ("VirtualService", "tls"): ("http",),
    ("HTTPRewrite", "uriRegexRewrite"): (),
    ("TrafficExtension", "wasm"): ("lua",),
    **{
        ("ConsistentHashLB", name): ("httpHeaderName",)
        for name in ("httpCookie", "useSourceIp", "httpQueryParameterName")
    },
    ("Delay", "percent"): ("percentage",),
    ("LoadBalancer", "leastRequestConfig"): ("policy",),
    ("HashPolicy", "sourceIP"): ("field", "fieldValue"),
    ("SourceIntention", "permissions"): ("action",),
    ("ServiceResolver", "redirect"): ("failover",),
    **{("ServiceRouteHTTPMatch", name): ("pathPrefix",) for name in ("pathExact", "pathRegex")},
    **{
        (owner, name): ("exact",)
        for owner in ("HeaderMatch", "HeaderPermission", "QueryParamMatch")
        for name in ("present", "prefix", "suffix", "regex", "contains")
    },
    **{("ReadinessProbe", name): ("exec",) for name in ("httpGet", "tcpSocket", "grpc")},
}
# And what a field needs beside it that others of its type cannot have.
ALSO: dict[tuple[str, str], dict[str, Any]] = {
    ("VirtualService", "tls"): {"gateways": ["front"]},
    ("VirtualService", "tcp"): {"gateways": ["mesh", "front"]},
    ("LoadBalancerSettings", "warmup"): {"simple": "ROUND_ROBIN"},
    ("LoadBalancerSettings", "warmupDurationSecs"): {"simple": "LEAST_REQUEST"},
    ("TrafficExtension", "wasm"): {"phase": "STATS"},
    ("Server", "tls"): {"port": {"number": 443, "name": "https", "protocol": "HTTPS"}, "hosts": ["a.example"]},
}


class Case(NamedTuple):
    """A resource, and where it is at an edge."""

    kind: str
    path: str
    document: dict[str, Any]


def cases(kind: str) -> Iterator[Case]:
    """All resources of a kind of Istio's."""
    yield from cases_of(KINDS[kind].spec)


def cases_of(spec: type[msgspec.Struct]) -> Iterator[Case]:
    """All resources of a kind, by its type."""
    for path, document in _values(spec):
        yield Case(spec.__name__, f"spec{path}", document)


def _values(kind: Any) -> Iterator[tuple[str, Any]]:
    """JSON values of a type, each with the path of what is at an edge."""
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        meta = next(each for each in args[1:] if isinstance(each, msgspec.Meta))
        if meta.pattern == DURATION_PATTERN:
            yield from (("", each) for each in DURATIONS)
        else:
            yield from _values(args[0])
            yield from (("", each) for each in (meta.ge, meta.le, meta.gt, meta.lt) if each is not None)
    elif origin in (Union, types.UnionType):
        yield from _values(next(each for each in args if each is not type(None)))
    elif origin is Literal:
        yield from (("", each) for each in args if each is not None)
    elif origin is list:
        yield "", []
        for path, value in _values(args[0]):
            yield f"[0]{path}", [value]
        yield "[1]", [value, value]
    elif origin is dict:
        yield "", {}
        some = _plain(args[1])
        yield from ((f"[{key[:20]!r}]", {key: some}) for key in STRINGS)
        yield from ((f"[x]{path}", {"x": value}) for path, value in _values(args[1]))
    elif isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        yield from _struct(kind)
    elif kind is Any:
        yield from (("", each) for each in (None, "\n", -1e308, 2**64, [[]], {"": {}}))
    else:
        scalars: dict[Any, tuple[Any, ...]] = {
            str: STRINGS,
            int: INTEGERS,
            float: NUMBERS,
            bool: (False, True),
            Any: (None, {"a": [1]}),
        }
        yield from (("", each) for each in scalars[kind])


def _struct(kind: type[msgspec.Struct]) -> Iterator[tuple[str, dict[str, Any]]]:
    base = _plain(kind)
    for field in msgspec.structs.fields(kind):
        name, place = field.encode_name, (kind.__name__, field.encode_name)
        around = {key: value for key, value in base.items() if key not in INSTEAD.get(place, ())} | ALSO.get(place, {})
        found = (("", each) for each in GIVEN[name]) if name in GIVEN else _values(field.type)
        for path, value in found:
            yield f".{name}{path}", {**copy.deepcopy(around), name: value}


def _plain(kind: Any) -> Any:
    """A value of a type with nothing remarkable about it."""
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        meta = next(each for each in args[1:] if isinstance(each, msgspec.Meta))
        return "1s" if meta.pattern == DURATION_PATTERN else _plain(args[0])
    if origin in (Union, types.UnionType):
        return _plain(next(each for each in args if each is not type(None)))
    if origin is Literal:
        return args[0]
    if origin in (list, dict):
        return origin()
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        required = {f.encode_name: _plain(f.type) for f in msgspec.structs.fields(kind) if f.required}
        return required | copy.deepcopy(BESIDE.get(kind.__name__, {}))
    return {str: "a", int: 1, float: 1.0, bool: True, Any: "a"}[kind]
