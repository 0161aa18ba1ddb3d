"""What a running Envoy says of single resources, sent to it one after the other over ADS: an ACK, or its words."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from envoy.config.bootstrap.v3.bootstrap_pb2 import Bootstrap
from envoy.config.core.v3.config_source_pb2 import AggregatedConfigSource, ConfigSource
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.listener_components_pb2 import Filter, FilterChain
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.http.router.v3.router_pb2 import Router
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
    HttpFilter,
    Rds,
)
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource
from google.protobuf.any_pb2 import Any as AnyMessage

from mesh_lab.controlplane.delivery import secrets
from mesh_lab.controlplane.injection.bootstrap import ProxySettings, _runtime
from mesh_lab.controlplane.trust.ca import Authority
from mesh_lab.controlplane.xds.built import Built, any_of
from mesh_lab.controlplane.xds.typeurls import CDS, EDS, LDS, RDS, SDS
from tests.unit.controlplane.envoy import ENVOY, _http2

METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
ADS = ConfigSource(ads=AggregatedConfigSource(), resource_api_version="V3")
_LIMIT = 5


class Verdicts:
    """An Envoy, and the stream by which it is asked. `routes` is the name of the routes that it may be asked about."""

    def __init__(self, routes: str) -> None:
        self._routes = routes
        self._answers: asyncio.Queue[DeltaDiscoveryRequest | None] = asyncio.Queue()
        self._context: Any = None
        self._writing = asyncio.Lock()
        self._passed_over: list[DeltaDiscoveryRequest] = []
        self._nonce = 0
        authority = Authority.create("cluster.local")
        leaf = authority.issue_workload("spiffe://cluster.local/ns/default/sa/a", timedelta(hours=1))
        self._secrets = (secrets.own(leaf), secrets.roots(authority.certificate))
        self._assigned: set[str] = set()
        self._there: dict[str, str] = {}

    async def of(self, built: Built) -> str:
        """What Envoy says of a resource; empty when it takes it.

        Raises:
            AssertionError: it has crashed, or does not answer.
        """
        before = self._there.pop(built.type_url, built.name)
        words = await self._send(built.type_url, built.name, built.body, [before] if before != built.name else [])
        if built.type_url != RDS:
            self._there[built.type_url] = built.name
        return words

    async def _send(self, type_url: str, name: str = "", body: bytes = b"", removed: Sequence[str] = ()) -> str:
        self._nonce += 1
        response = DeltaDiscoveryResponse(type_url=type_url, nonce=str(self._nonce), removed_resources=removed)
        if body:
            response.resources.add(name=name, version=str(self._nonce), resource=AnyMessage.FromString(body))
        await self._write(response)
        if self._assigned and type_url == CDS:
            await self._give_endpoints()
        answer = await self._until(lambda request: request.response_nonce == str(self._nonce))
        return answer.error_detail.message if answer.HasField("error_detail") else ""

    async def _until(self, wanted: Callable[[DeltaDiscoveryRequest], bool]) -> DeltaDiscoveryRequest:
        found = next(filter(wanted, self._passed_over), None)
        async with asyncio.timeout(_LIMIT):
            while found is None:
                request = await self._answers.get()
                assert request is not None, "Envoy has gone"
                if wanted(request):
                    found = request
                else:
                    self._passed_over.append(request)
        return found

    async def greet(self) -> None:
        """No clusters; a listener that asks for routes."""
        await self._until(lambda request: request.type_url == CDS)
        await self._send(CDS)
        await self._until(lambda request: request.type_url == LDS)
        words = await self._send(LDS, "asking", any_of(_asking(self._routes)).SerializeToString())
        await self._until(lambda request: request.type_url == RDS)
        empty = any_of(RouteConfiguration(name=self._routes))
        words += await self._send(RDS, self._routes, empty.SerializeToString())
        assert not words, words

    async def _give_secrets(self, names: Iterable[str]) -> None:
        known = {each.name: each for each in self._secrets}
        given = [known[name] for name in names if name in known]
        found = [Resource(name=b.name, version="1", resource=AnyMessage.FromString(b.body)) for b in given]
        if found:
            await self._write(DeltaDiscoveryResponse(type_url=SDS, nonce="secrets", resources=found))

    async def _give_endpoints(self) -> None:
        """None for each cluster: until it has them, Envoy keeps back what it says of a cluster that has changed."""
        found = [
            Resource(name=name, version=str(self._nonce), resource=any_of(ClusterLoadAssignment(cluster_name=name)))
            for name in self._assigned
        ]
        response = DeltaDiscoveryResponse(type_url=EDS, nonce="endpoints", resources=found)
        await self._write(response)

    async def _write(self, response: DeltaDiscoveryResponse) -> None:
        async with self._writing:
            await self._context.write(response.SerializeToString())

    async def stream(self, requests: AsyncIterator[DeltaDiscoveryRequest], context: Any) -> None:
        """Envoy's call."""
        self._context = context
        try:
            async for request in requests:
                if request.type_url == SDS:
                    await self._give_secrets(request.resource_names_subscribe)
                elif request.type_url == EDS:
                    self._assigned.update(request.resource_names_subscribe)
                    self._assigned.difference_update(request.resource_names_unsubscribe)
                    if request.resource_names_subscribe:
                        await self._give_endpoints()
                else:
                    self._answers.put_nowait(request)
        finally:
            self._answers.put_nowait(None)


def _asking(routes: str) -> Listener:
    router = HttpFilter(name="envoy.filters.http.router", typed_config=any_of(Router()))
    manager = HttpConnectionManager(
        stat_prefix="asking", rds=Rds(config_source=ADS, route_config_name=routes), http_filters=[router]
    )
    each = Filter(name="envoy.filters.network.http_connection_manager", typed_config=any_of(manager))
    listener = Listener(name="asking", filter_chains=[FilterChain(filters=[each])])
    listener.address.socket_address.address = "127.0.0.1"
    listener.address.socket_address.port_value = 0
    return listener


def _bootstrap(port: int) -> Bootstrap:
    bootstrap = Bootstrap()
    bootstrap.node.id = bootstrap.node.cluster = "test"
    bootstrap.layered_runtime.layers.add(name="static").static_layer.update(_runtime(ProxySettings("sidecar")))
    ads = bootstrap.dynamic_resources.ads_config
    ads.api_type, ads.transport_api_version = ads.DELTA_GRPC, 2
    ads.grpc_services.add().envoy_grpc.cluster_name = "xds-grpc"
    for each in (bootstrap.dynamic_resources.cds_config, bootstrap.dynamic_resources.lds_config):
        each.CopyFrom(ADS)
    control = bootstrap.static_resources.clusters.add(name="xds-grpc")
    control.load_assignment.cluster_name = "xds-grpc"
    control.typed_extension_protocol_options["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"].Pack(_http2())
    endpoint = control.load_assignment.endpoints.add().lb_endpoints.add().endpoint
    endpoint.address.socket_address.address = "127.0.0.1"
    endpoint.address.socket_address.port_value = port
    return bootstrap


@asynccontextmanager
async def asked(directory: Path, routes: str) -> AsyncIterator[Verdicts]:
    """A running Envoy that can be asked: about clusters, listeners, and the routes of a name."""
    verdicts = Verdicts(routes)
    handler: Any = grpc.stream_stream_rpc_method_handler(
        verdicts.stream, request_deserializer=DeltaDiscoveryRequest.FromString, response_serializer=None
    )
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", 16 * 1024 * 1024)])
    server.add_generic_rpc_handlers((_Handler(handler),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    file = directory / "asked.pb"
    file.write_bytes(_bootstrap(port).SerializeToString())
    command = [ENVOY, "--disable-hot-restart", "--concurrency", "1", "-l", "off", "-c", str(file)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: ASYNC220
    try:
        await verdicts.greet()
        yield verdicts
    finally:
        process.kill()
        process.wait()
        await server.stop(None)


class _Handler(grpc.GenericRpcHandler):
    def __init__(self, handler: Any) -> None:
        self._handler = handler

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        return self._handler if handler_call_details.method == METHOD else None
