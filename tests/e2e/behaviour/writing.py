"""One intent, written as each kind of route has it, for each protocol.

An intent is `Words`: the fields of a rule in Istio's API and in the Gateway API's. Subsets and `weight` on one side, a
Service for each version on the other; what an API has no words for is named in `LACKING`, with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from mesh_lab.testing import Object, Results, TrafficClient, route, service, tcp_virtual_service, to, virtual_service

from ..gatewayapi import backend, of_service
from ..gatewayapi import route as gateway_route

VERSIONS = ("v1", "v2")


@dataclass(frozen=True)
class Spoken:
    """How a protocol is spoken to the echo server: the URL, the Service's port, options of the client."""

    url: str
    port: int
    options: Mapping[str, Any] = field(default_factory=dict)

    def send(self, client: TrafficClient, count: int = 1, *, path: str = "", **options: Any) -> Results:
        """Send requests, calls or connections; `path` is of requests over HTTP."""
        return client.send(f"{self.url}{path}", count, **{**self.options, **options})

    def elsewhere(self, namespace: str) -> Spoken:
        """The same from another namespace."""
        return Spoken(self.url.replace("://echo", f"://echo.{namespace}", 1), self.port, self.options)


CALLED = ("shop.Cart", "Add")
SPOKEN: Mapping[str, Spoken] = {
    "http1": Spoken("http://echo", 80),
    "http2": Spoken("http://echo:81", 81, {"http2": True}),
    "grpc": Spoken(f"grpc://echo:81/{'/'.join(CALLED)}", 81),
    "tcp": Spoken("tcp://echo:9000", 9000),
}

GATEWAY_KINDS = {"httproute": "HTTPRoute", "grpcroute": "GRPCRoute", "tcproute": "TCPRoute"}


@dataclass(frozen=True)
class Words:
    """An intent: fields of a rule of a VirtualService, and of a route of the Gateway API's."""

    istio: Object = field(default_factory=dict)
    gateway: Object = field(default_factory=dict)


PLAIN = Words()
_NOT_IN_GRPC = "a GRPCRoute has no {}: only an HTTPRoute has (GEP-1016)"
LACKING: Mapping[tuple[str, str], str] = {
    ("faults/delay", "httproute"): "the Gateway API has no faults: a VirtualService has them",
    ("faults/delay", "grpcroute"): "the Gateway API has no faults: a VirtualService has them",
    ("faults/abort", "httproute"): "the Gateway API has no faults: a VirtualService has them",
    ("faults/abort", "grpcroute"): "the Gateway API has no faults: a VirtualService has them",
    ("resilience/retries", "grpcroute"): _NOT_IN_GRPC.format("retries"),
    ("resilience/timeout", "grpcroute"): _NOT_IN_GRPC.format("timeouts"),
}
"""What an API cannot say, and why."""

OPTIONAL: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("resilience/retries", "httproute"): ("rules", "retry"),
    ("traffic/cors", "httproute"): ("rules", "filters", "cors"),
}
"""Fields that not every release and channel of the Gateway API has, below `spec`."""


def has_field(definition: Object, field: tuple[str, ...]) -> bool:
    """Whether a definition's stored version has a field below `spec`; items of a list are looked into."""
    version = next(each for each in definition["spec"]["versions"] if each["storage"])
    schema = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    for name in field:
        schema = schema.get("items", schema).get("properties", {}).get(name)
        if schema is None:
            return False
    return True


def version_services() -> list[Object]:
    """A Service for each version with the echo server's ports, since a backend of the Gateway API's is a Service."""
    ports = (("http", 80, 8080), ("http2", 81, 8081), ("tcp", 9000, 9000))
    return [service(f"echo-{version}", {"app": "echo", "version": version}, *ports) for version in VERSIONS]


def split(protocol: str, api: str, weights: Mapping[str, int], words: Words = PLAIN) -> Object:
    """A route that splits what comes by weights; its one rule has the words, too."""
    return _route(protocol, api, [(weights, words)])


def routed(protocol: str, api: str, words: Words) -> Object:
    """A route of one rule, to v1."""
    return _route(protocol, api, [({"v1": 1}, words)])


def matched(protocol: str, api: str, words: Words) -> Object:
    """A route to v2 for what the words match, and to v1 for all else."""
    return _route(protocol, api, [({"v2": 1}, words), ({"v1": 1}, PLAIN)])


def answered(protocol: str, api: str, words: Words) -> Object:
    """A route whose one rule answers by itself, and leads nowhere."""
    return _route(protocol, api, [({}, words)])


def _route(protocol: str, api: str, rules: list[tuple[Mapping[str, int], Words]]) -> Object:
    port = SPOKEN[protocol].port
    if api in GATEWAY_KINDS:
        written = [_gateway_rule(port, weights, words) for weights, words in rules]
        return gateway_route("echo", of_service("echo", port=port), *written, kind=GATEWAY_KINDS[api])
    if protocol == "tcp":
        ((weights, _),) = rules
        return tcp_virtual_service("echo", *(to("echo", name, weight, port) for name, weight in weights.items()))
    return virtual_service("echo", *(_istio_rule(port, weights, words) for weights, words in rules))


def _istio_rule(port: int, weights: Mapping[str, int], words: Words) -> Object:
    if not weights:
        return dict(words.istio)
    one = len(weights) == 1
    return route(*(to("echo", name, None if one else weight, port) for name, weight in weights.items()), **words.istio)


def _gateway_rule(port: int, weights: Mapping[str, int], words: Words) -> Object:
    backends = [backend(f"echo-{name}", port, weight=weight) for name, weight in weights.items()]
    return {**({"backendRefs": backends} if backends else {}), **words.gateway}


def cells(feature: str, *written: str) -> pytest.MarkDecorator:
    """Parametrises a test over cells, each `PROTOCOL KIND`, and marks each as the case of the feature that it shows.

    What the kind has no words for is skipped, with the reason.
    """
    shown = []
    for cell in written:
        protocol, api = cell.split()
        marks = [pytest.mark.mesh_feature(feature)]
        if (feature, api) in LACKING:
            marks.append(pytest.mark.skip(reason=LACKING[feature, api]))
        shown.append(pytest.param(protocol, api, marks=marks, id=f"{protocol}-{api}"))
    return pytest.mark.parametrize(("protocol", "api"), shown)
