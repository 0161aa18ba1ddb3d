"""Serves delta ADS over gRPC with TLS: one stream a proxy, each proved by its token.

https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#aggregated-discovery-service
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import grpc
import grpc.aio
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest

from mesh_lab.controlplane.delivery import wire
from mesh_lab.controlplane.delivery.identity import Authenticator, Caller, Unauthenticated
from mesh_lab.controlplane.delivery.machines import Claim, Machine, claim_of, entry_of
from mesh_lab.controlplane.delivery.push import Connection, Pusher
from mesh_lab.controlplane.delivery.refusals import Refusals
from mesh_lab.controlplane.delivery.registration import Registrar, Unregistered
from mesh_lab.controlplane.delivery.relay import Relay
from mesh_lab.controlplane.delivery.state import ClusterState
from mesh_lab.controlplane.kube.client import ApiError, Unreachable
from mesh_lab.controlplane.model.workloads import WorkloadEntry
from mesh_lab.controlplane.process.metrics import Metrics
from mesh_lab.controlplane.trust.ca import Leaf
from mesh_lab.controlplane.world.fleet import ProxyPod
from mesh_lab.controlplane.world.kubernetes import Pod
from mesh_lab.controlplane.xds.typeurls import SDS

log = logging.getLogger(__name__)

_METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
# A token may be there before the watch has reported its pod, and before the pod's address stands in its status.
_POD_LIMIT = 10.0
_FIRST_REQUEST_LIMIT = 10.0
_OPTIONS = (
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # Envoy pings every 10 s. Those that come more often than this are strikes, and the third ends the connection.
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    # What a connection may take before it has a stream.
    ("grpc.server_handshake_timeout_ms", 10_000),
    ("grpc.max_connection_idle_ms", 60_000),
)

Context = grpc.aio.ServicerContext[Any, Any]


class AdsService:
    """The streams. `answered` is called with each ACK and NACK."""

    def __init__(
        self,
        state: ClusterState,
        pusher: Pusher,
        authenticator: Authenticator,
        metrics: Metrics,
        registrar: Registrar,
        answered: Callable[[], None],
    ) -> None:
        self._state = state
        self._pusher = pusher
        self._authenticator = authenticator
        self._metrics = metrics
        self._registrar = registrar
        self._answered = answered
        self._framer = wire.Framer()
        self._refusals = Refusals(state)

    async def stream(self, requests: AsyncIterator[DeltaDiscoveryRequest], context: Context) -> None:
        """One proxy, from its first request until either side leaves."""
        connection, first = await self._accept(requests, context)
        log.info("%s: connected (%s)", connection.name, connection.proxy.kind)
        self._take(connection, first)
        reader = asyncio.create_task(self._read(requests, connection))
        try:
            await self._write(connection, context)
        finally:
            reader.cancel()
            self._pusher.disconnect(connection)
            self._registrar.left(connection)
            self._refusals.forget(connection)
            log.info("%s: disconnected%s", connection.name, f": {connection.closing}" if connection.closing else "")

    async def _accept(
        self, requests: AsyncIterator[DeltaDiscoveryRequest], context: Context
    ) -> tuple[Connection, DeltaDiscoveryRequest]:
        """The caller, and its first request; ends the call without a valid identity or a request."""
        metadata = {str(key): str(value) for key, value in context.invocation_metadata() or ()}
        try:
            caller = await self._authenticator.account(metadata.get("authorization", ""))
            async with asyncio.timeout(_FIRST_REQUEST_LIMIT):
                first = await anext(requests)
            machine = None if caller.pod else await self._registered(claim_of(caller, first.node))
            if machine is None:
                pod, view = await self._find(caller)
                _check_claims(first.node.id, pod)
            else:
                pod, view = machine.claim.proxy, await self._find_entry(machine)
        except Unauthenticated as error:
            log.warning("rejected a proxy at %s: %s", _peer(context), error)
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, str(error))
        except Unregistered as error:
            log.warning("rejected a proxy at %s: %s", _peer(context), error)
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
        except (ApiError, Unreachable) as error:
            await context.abort(grpc.StatusCode.UNAVAILABLE, f"the API server cannot be asked now: {error}")
        except (TimeoutError, StopAsyncIteration):
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "no request came")
        return self._pusher.connect(pod, view, first.node.id, _metadata(first), machine), first

    async def _find(self, caller: Caller) -> tuple[ProxyPod, Pod]:
        key = (caller.namespace, caller.pod)

        def known() -> bool:
            pod = self._state.fleet.pods.get(key)
            return pod is not None and pod.uid == caller.pod_uid and key in self._state.latest.pods

        if not await self._state.snapshotted.until(known, _POD_LIMIT):
            raise Unauthenticated(
                f"the token's pod {caller.namespace}/{caller.pod} is not one with a proxy, or has no address"
            )
        pod = self._state.fleet.pods[key]
        if pod.service_account != caller.service_account:
            raise Unauthenticated(f"the pod {caller.namespace}/{caller.pod} does not run as {caller.service_account}")
        return pod, self._state.latest.pods[key]

    async def _registered(self, claim: Claim) -> Machine:
        """A proxy that is part of no pod; what is to be written of its WorkloadEntry has been."""
        if not claim.group:
            await self._until_known(claim)
        entry_of(claim, self._state.latest)  # nothing is written for one that is not what it says
        name = await self._registrar.register(claim) if claim.group or claim.entry else ""
        return Machine(replace(claim, entry=name))

    async def _find_entry(self, machine: Machine) -> Pod:
        """What its WorkloadEntry says of a proxy that is part of no pod."""
        await self._until_known(machine.claim)
        return machine.view(self._state.latest)

    async def _until_known(self, claim: Claim) -> None:
        """Wait for the WorkloadEntry that is named, which may have been written just now."""
        key = (claim.namespace, claim.entry)
        if claim.entry:
            await self._state.snapshotted.until(lambda: key in self._state.latest.of(WorkloadEntry), _POD_LIMIT)

    async def _read(self, requests: AsyncIterator[DeltaDiscoveryRequest], connection: Connection) -> None:
        try:
            async for message in requests:
                self._take(connection, message)
        finally:
            connection.close("")

    def _take(self, connection: Connection, message: DeltaDiscoveryRequest) -> None:
        request = wire.request(message)
        connection.session.request(request)
        if request.error is not None:
            self._metrics.rejected(request.type_url)
            log.warning("%s: NACK of %s: %s", connection.name, request.type_url.rpartition(".")[2], request.error)
        if request.type_url == SDS and (request.subscribe or request.unsubscribe):
            self._pusher.refresh_secrets(connection)
        if request.nonce:
            self._refusals.look(connection)
            self._answered()
        connection.wake()

    async def _write(self, connection: Connection, context: Context) -> None:
        while not connection.closed:
            if connection.needs_certificate:
                self._pusher.refresh_secrets(connection)
            for response in connection.session.pump(asyncio.get_running_loop().time()):
                await context.write(self._framer.encode(response))
                self._metrics.sent(response.type_url)
            self._refusals.look(connection)
            await connection.idle()


def _peer(context: Context) -> str:
    """The caller's address, which is the end of the name of the relay's socket."""
    return unquote(str(context.peer())).rpartition("/")[2]


def _metadata(request: DeltaDiscoveryRequest) -> dict[str, str]:
    """What of a node's metadata is text: by that a resource may be for some proxies only."""
    fields = request.node.metadata.fields
    return {name: value.string_value for name, value in fields.items() if value.HasField("string_value")}


def _check_claims(node_id: str, pod: ProxyPod) -> None:
    """Check the node's id, which says in Istio's form what it is, against the token's pod."""
    if not node_id.startswith(pod.node_id):
        raise Unauthenticated(f"the node calls itself {node_id!r}, but its token is that of {pod.node_id!r}...")


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, service: AdsService, others: Mapping[str, Any]) -> None:
        delta: Any = grpc.stream_stream_rpc_method_handler(
            service.stream, request_deserializer=DeltaDiscoveryRequest.FromString, response_serializer=None
        )
        self._handlers: Mapping[str, Any] = {_METHOD: delta, **others}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        return self._handlers.get(handler_call_details.method)


def credentials(leaf: Callable[[], Leaf]) -> grpc.ServerCredentials:
    """TLS with the certificate that `leaf` gives now, which the server keeps all its life."""
    shown = leaf()
    return grpc.ssl_server_credentials([(shown.key, shown.chain)])


class Server:
    """Serves at one port, with the certificate that `leaf` gives when a connection comes.

    gRPC changes the certificate of a server by freeing what handshakes in other threads are using, which ends the
    process (https://github.com/grpc/grpc/issues/36693). So each certificate has a server of its own, and one that is
    renewed leaves its server to the connections that have it, until the last of them goes.
    """

    def __init__(self, service: AdsService, leaf: Callable[[], Leaf], others: Mapping[str, Any] | None = None) -> None:
        """Keep the service, and `others`: handlers of further methods, by their full names."""
        self._service = service
        self._others = others or {}
        self._leaf = leaf
        self._shown: Leaf | None = None
        self._newest = ""
        self._servers: dict[str, grpc.aio.Server] = {}
        self._ends: set[asyncio.Task[None]] = set()
        self._starting = asyncio.Lock()
        self._relay = Relay(self._choose, self._left)

    async def start(self, host: str, port: int) -> int:
        """Serve; gives the port, which is any free one for 0."""
        await self._choose()
        return await self._relay.start(host, port)

    async def stop(self, grace: float) -> None:
        """Take no more connections, and end all streams within `grace` seconds."""
        self._relay.stop_listening()
        await asyncio.gather(*(server.stop(grace) for server in self._servers.values()), *self._ends)
        self._relay.close()

    async def _choose(self) -> str:
        """The socket of the server that shows the current certificate."""
        async with self._starting:
            leaf = self._leaf()
            if leaf is not self._shown:
                name, server = await self._start(leaf)
                before, self._newest, self._shown = self._newest, name, leaf
                self._servers[name] = server
                if not self._relay.carries(before):
                    self._left(before)
            return self._newest

    async def _start(self, leaf: Leaf) -> tuple[str, grpc.aio.Server]:
        # A name that is in no file system and cannot be guessed; a client there needs a token all the same.
        name = f"istiod-{secrets.token_hex(16)}"
        server = grpc.aio.server(options=_OPTIONS)
        server.add_generic_rpc_handlers((_Handlers(self._service, self._others),))
        server.add_secure_port(f"unix-abstract:{name}", credentials(lambda: leaf))
        await server.start()
        return name, server

    def _left(self, name: str) -> None:
        """The last connection of a server has gone."""
        if name != self._newest and (server := self._servers.pop(name, None)) is not None:
            task = asyncio.get_running_loop().create_task(server.stop(None))
            self._ends.add(task)
            task.add_done_callback(self._ends.discard)
