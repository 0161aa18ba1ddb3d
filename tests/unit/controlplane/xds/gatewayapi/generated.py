"""Routes, Gateways and ListenerSets that chance makes up: what definitions let in, good, odd or wrong; by a seed.

Values are drawn from tables that hold what is usual beside what has made trouble elsewhere: hosts that overlap, paths
with expressions, backends that are none, references that nothing allows, listeners that exclude each other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from tests.unit.controlplane.xds.gatewayapi.objects import made

Object = dict[str, Any]
GROUP = "gateway.networking.k8s.io"
HOSTS = ("a.example.com", "*.example.com", "b.a.example.com", "*.a.example.com", "A.example.com", "c.example.org")
PATHS = ("/", "/a", "/a/", "/a/b", "/a//b", "/a.b", "/%20", "/a+b", "/~x", "/ä".encode().hex(), "/" + "x" * 200)
EXPRESSIONS = ("/a.*", "/(a|b)/[0-9]+", ".*", "/x{1,3}", "/(", "(?=a)", "/\\d+", "")
HEADERS = ("x-user", "X-User", "cookie", "content-type", "Host")
TEXTS = ("", "a", "jason", "a b", "%", "%20", "100%", "%PROTOCOL%", "{x}")
METHODS = ("GET", "POST", "DELETE", "OPTIONS", "PATCH")
SERVICES = ("reviews", "ratings", "details", "productpage", "nobody")
ENTRIES: Mapping[str, tuple[str, ...]] = {"one": ("news.example.com",), "many": ("a.example.com", "*.wiki.example.com")}
"""The hosts of ServiceEntries."""
LISTENERS = (
    ("HTTP", 80),
    ("HTTP", 8080),
    ("HTTPS", 443),
    ("HTTPS", 8443),
    ("TLS", 443),
    ("TLS", 9443),
    ("TCP", 9000),
    ("TCP", 9001),
    ("UDP", 53),
)


def service_entry(name: str) -> Object:
    """A ServiceEntry with a port of each kind that routes are for."""
    numbers = {"HTTP": 80, "TLS": 443, "GRPC": 9080, "TCP": 9000}
    ports = [{"number": number, "name": kind.lower(), "protocol": kind} for kind, number in numbers.items()]
    return made(name, {"hosts": list(ENTRIES[name]), "ports": ports, "resolution": "NONE"})


class Chance:
    """Makes objects up; two of the same seed make the same ones."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._one_of = self._random.choice

    def of_kind(self, kind: str, name: str) -> Object:
        """A route of a kind."""
        makers: dict[str, Callable[[], Object]] = {
            "HTTPRoute": self._http_route,
            "GRPCRoute": self._grpc_route,
            "TLSRoute": self._tls_route,
            "TCPRoute": self._tcp_route,
        }
        spec = {"parentRefs": self._some(self._parent, 1, 2), **makers[kind]()}
        if self._happens(0.01):
            spec["ofALaterVersion"] = True
        namespace = self._one_of(("default", "default", "default", "shop"))
        return made(name, spec, namespace=namespace, created=f"2026-01-0{self._random.randint(1, 9)}")

    def gateway(self) -> Object:
        """The Gateway `edge`."""
        listeners = [self._listener(f"l{index}") for index in range(self._random.randint(2, 8))]
        taken = {"namespaces": {"from": self._one_of(("All", "Same", "None"))}}
        spec = {"gatewayClassName": "istio", "listeners": listeners, "allowedListeners": taken}
        return made("edge", spec)

    def listener_set(self, name: str) -> Object:
        """Further listeners of it."""
        spec = {"parentRef": {"name": "edge"}, "listeners": self._some(lambda: self._listener("l0"), 1, 1)}
        return made(name, spec)

    def _listener(self, name: str) -> Object:
        protocol, port = self._one_of(LISTENERS)
        listener: Object = {"name": name, "port": port, "protocol": protocol}
        if protocol != "TCP" and self._happens(0.6):
            listener["hostname"] = self._one_of(HOSTS)
        if protocol in ("HTTPS", "TLS"):
            refs = [{"name": self._one_of(("cert", "cert", "none"))}]
            passing = {"mode": "Passthrough"}
            ending = {"mode": "Terminate", "certificateRefs": refs}
            listener["tls"] = passing if protocol == "TLS" and self._happens(0.6) else ending
        if self._happens(0.8):
            listener["allowedRoutes"] = {"namespaces": {"from": self._one_of(("All", "All", "Same"))}}
        return listener

    def _parent(self) -> Object:
        chosen = self._random.random()
        if chosen < 0.25:
            service = {"group": "", "kind": "Service", "name": self._one_of(SERVICES)}
            return service if self._happens(0.3) else {**service, "port": self._one_of((9080, 9080, 1))}
        if chosen < 0.3:
            entry = {
                "group": "networking.istio.io",
                "kind": "ServiceEntry",
                "name": self._one_of((*ENTRIES, "nothing")),
            }
            return entry if self._happens(0.5) else {**entry, "port": self._one_of((80, 443, 1))}
        if chosen < 0.4:
            return {"group": GROUP, "kind": "ListenerSet", "name": "more", "namespace": "default"}
        parent: Object = {"name": "edge", "namespace": "default"}
        if self._happens(0.4):
            parent["sectionName"] = f"l{self._random.randint(0, 9)}"
        if self._happens(0.1):
            parent["port"] = self._one_of((80, 443, 7))
        return parent

    def _backend(self, **more: Any) -> Object:
        backend: Object = {"name": self._one_of(SERVICES), "port": self._one_of((9080, 9080, 9080, 1)), **more}
        if self._happens(0.1):
            backend["namespace"] = self._one_of(("shop", "elsewhere"))
        if self._happens(0.03):
            backend |= {"group": "example.com", "kind": "Bucket"}
        if self._happens(0.4):
            backend["weight"] = self._one_of((0, 1, 2, 100, 1_000_000))
        return backend

    def _http_backend(self) -> Object:
        return self._backend(**({"filters": [self._header_filter()]} if self._happens(0.1) else {}))

    def _http_route(self) -> Object:
        return {"hostnames": self._some(lambda: self._one_of(HOSTS), 0, 2), "rules": self._some(self._http_rule, 1, 2)}

    def _http_rule(self) -> Object:
        rule: Object = {"filters": self._some(self._filter, 0, 2)}
        if self._happens(0.8):
            rule["matches"] = self._some(self._http_match, 1, 2)
        if not any(each["type"] == "RequestRedirect" for each in rule["filters"]):
            rule["backendRefs"] = self._some(self._http_backend, 0, 2)
        if self._happens(0.2):
            rule["timeouts"] = {"request": self._one_of(("1s", "0s", "1h", "500ms")), "backendRequest": "250ms"}
        if self._happens(0.1):
            rule["retry"] = {"codes": [503, 500], "attempts": self._one_of((0, 1, 10)), "backoff": "10ms"}
        return rule

    def _http_match(self) -> Object:
        match: Object = {}
        if self._happens(0.7):
            by_expression = self._happens(0.2)
            kind = "RegularExpression" if by_expression else self._one_of(("Exact", "PathPrefix"))
            match["path"] = {"type": kind, "value": self._one_of(EXPRESSIONS if by_expression else PATHS)}
        if self._happens(0.3):
            match["headers"] = self._some(self._value_match, 1, 2)
        if self._happens(0.2):
            match["queryParams"] = self._some(self._value_match, 1, 2)
        if self._happens(0.2):
            match["method"] = self._one_of(METHODS)
        return match

    def _value_match(self) -> Object:
        if self._happens(0.2):
            return {"name": self._one_of(HEADERS), "type": "RegularExpression", "value": self._one_of(EXPRESSIONS)}
        return {"name": self._one_of(HEADERS), "value": self._one_of(TEXTS)}

    def _filter(self) -> Object:
        chosen = self._random.randint(0, 6)
        if chosen < 3:
            return self._header_filter()
        if chosen == 3:
            share = self._one_of(({}, {"percent": 5}, {"fraction": {"numerator": 1, "denominator": 3}}))
            return {"type": "RequestMirror", "requestMirror": {"backendRef": self._unweighted(), **share}}
        if chosen == 4:
            to: Object = {"statusCode": self._one_of((301, 302, 307))}
            to |= self._one_of(({}, {"scheme": "https"}, {"hostname": "b.example"}, {"port": 8443}))
            if self._happens(0.5):
                to["path"] = self._new_path()
            return {"type": "RequestRedirect", "requestRedirect": to}
        if chosen == 5:
            return {"type": "URLRewrite", "urlRewrite": {"hostname": "inner.example", "path": self._new_path()}}
        origins = self._some(lambda: self._one_of(("*", "https://a.example", "https://*.example:8443")), 1, 2)
        return {"type": "CORS", "cors": {"allowOrigins": origins, "allowMethods": ["GET", "*"], "maxAge": 60}}

    def _unweighted(self) -> Object:
        return {key: value for key, value in self._backend().items() if key != "weight"}

    def _new_path(self) -> Object:
        whole, prefix = ("ReplaceFullPath", "replaceFullPath"), ("ReplacePrefixMatch", "replacePrefixMatch")
        kind, field = self._one_of((whole, prefix))
        return {"type": kind, field: self._one_of(("", "/", "/new", "/new/", "/\\1", "/$1"))}

    def _header_filter(self) -> Object:
        kind, field = self._one_of(
            (("RequestHeaderModifier", "requestHeaderModifier"), ("ResponseHeaderModifier", "responseHeaderModifier"))
        )
        value = {"name": self._one_of(HEADERS), "value": self._one_of(TEXTS)}
        modifier = self._one_of(({"set": [value]}, {"add": [value, value]}, {"remove": [self._one_of(HEADERS)]}))
        return {"type": kind, field: modifier}

    def _grpc_route(self) -> Object:
        hosts = self._some(lambda: self._one_of(HOSTS), 0, 2)
        return {"hostnames": hosts, "rules": self._some(self._grpc_rule, 0, 2)}

    def _grpc_rule(self) -> Object:
        rule: Object = {"backendRefs": self._some(self._http_backend, 0, 2)}
        if self._happens(0.8):
            rule["matches"] = self._some(self._grpc_match, 1, 2)
        if self._happens(0.2):
            rule["filters"] = [self._header_filter()]
        return rule

    def _grpc_match(self) -> Object:
        match: Object = {}
        if self._happens(0.8):
            service, method = self._one_of(("", "shop.Cart", "a.B")), self._one_of(("", "Add", "List"))
            kind = "Exact" if self._happens(0.8) else "RegularExpression"
            match["method"] = {"type": kind, "service": service, "method": method}
        if self._happens(0.3):
            match["headers"] = self._some(self._value_match, 1, 2)
        return match

    def _tls_route(self) -> Object:
        return {"hostnames": self._some(lambda: self._one_of(HOSTS), 1, 2), "rules": self._connections()}

    def _tcp_route(self) -> Object:
        return {"rules": self._connections()}

    def _connections(self) -> list[Object]:
        return self._some(lambda: {"backendRefs": self._some(self._backend, 1, 3)}, 1, 2 if self._happens(0.1) else 1)

    def _happens(self, probability: float) -> bool:
        return self._random.random() < probability

    def _some(self, make: Callable[[], Any], least: int, most: int) -> list[Any]:
        return [make() for _ in range(self._random.randint(least, most))]
