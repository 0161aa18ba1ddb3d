"""A control plane in this process on loopback, over a fake API, with real Envoys: for tests of the whole way."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sysconfig
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.address_pb2 import Address, SocketAddress
from envoy.config.core.v3.base_pb2 import TransportSocket
from envoy.config.core.v3.config_source_pb2 import AggregatedConfigSource, ConfigSource
from envoy.config.endpoint.v3.endpoint_components_pb2 import Endpoint, LbEndpoint, LocalityLbEndpoints
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.listener_components_pb2 import Filter, FilterChain
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_components_pb2 import Route, RouteAction, RouteMatch, VirtualHost
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.http.router.v3.router_pb2 import Router
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
    HttpFilter,
    Rds,
)
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import SdsSecretConfig
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import CommonTlsContext, DownstreamTlsContext
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration

from mesh_lab.controlplane.delivery.push import Generate
from mesh_lab.controlplane.delivery.secrets import GATEWAY_PREFIX, OWN
from mesh_lab.controlplane.delivery.tracking import Analysis
from mesh_lab.controlplane.injection import bootstrap
from mesh_lab.controlplane.model import VirtualService
from mesh_lab.controlplane.process.config import Ports, Settings
from mesh_lab.controlplane.startup.assembly import Translation
from mesh_lab.controlplane.startup.server import run
from mesh_lab.controlplane.trust.ca import Authority
from mesh_lab.controlplane.world.findings import Finding
from mesh_lab.controlplane.world.kubernetes import Origin
from mesh_lab.controlplane.world.proxy import Proxy
from mesh_lab.controlplane.world.snapshot import Snapshot
from mesh_lab.controlplane.xds.built import Built, any_of, build, wire
from mesh_lab.controlplane.xds.typeurls import CDS, EDS, LDS, RDS
from tests.unit.controlplane.fake_api import FakeApi, Object, serving

ENVOY = Path(sysconfig.get_path("scripts")) / "envoy"
ADS = ConfigSource(ads=AggregatedConfigSource(), resource_api_version="V3")


async def eventually(condition: Callable[[], Awaitable[bool]], seconds: float = 10) -> None:
    """Wait for something outside this process, which cannot tell when it is there."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def pod(name: str, *, namespace: str = "default", ip: str = "127.0.0.1", templates: str = "") -> Object:
    """An injected pod that is ready."""
    annotations = {"sidecar.istio.io/status": "{}"}
    if templates:
        annotations["inject.istio.io/templates"] = templates
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": f"uid of {namespace}/{name}",
            "annotations": annotations,
            "labels": {"app": name, "security.istio.io/tlsMode": "istio"},
        },
        "spec": {"serviceAccountName": "default", "containers": []},
        "status": {"podIP": ip, "phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    }


def service(name: str, *, namespace: str = "default", port: int = 80) -> Object:
    """A Service; the generator of these tests makes a cluster of each."""
    return {
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"clusterIP": "10.96.0.9", "ports": [{"name": "http", "port": port}]},
    }


def endpoints(name: str, ports: list[int], *, namespace: str = "default") -> Object:
    """The EndpointSlice of a Service whose pods are ports on loopback."""
    return {
        "metadata": {"name": name, "namespace": namespace, "labels": {"kubernetes.io/service-name": name}},
        "endpoints": [{"addresses": ["127.0.0.1"]}] if ports else [],
        "ports": [{"name": "http", "port": ports[0]}] if ports else [],
    }


def virtual_service(name: str, to: str, *, namespace: str = "default", prefix: str = "/") -> Object:
    """A VirtualService that the generator of these tests makes a route of."""
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": name, "namespace": namespace, "uid": f"uid-{name}", "generation": 1},
        "spec": {
            "hosts": [name],
            "http": [{"match": [{"uri": {"prefix": prefix}}], "route": [{"destination": {"host": to}}]}],
        },
    }


def generate(snapshot: Snapshot, proxy: Proxy) -> dict[str, dict[str, Built]]:
    """A cluster for each Service, and one listener whose routes are the VirtualServices, in the order of names.

    A VirtualService whose name begins with `bad` makes a listener that Envoy refuses; one that begins with `wrong`, a
    route for which Envoy refuses all routes.
    """
    clusters, assignments = {}, {}
    for (_, name), view in snapshot.services.items():
        message = Cluster(
            name=name,
            type=Cluster.EDS,
            connect_timeout=Duration(seconds=1),
            eds_cluster_config=Cluster.EdsClusterConfig(eds_config=ADS),
            alt_stat_name=str(view.ports[0].port),
        )
        clusters[name] = build(CDS, name, wire(message), [view.origin])
        assignments[name] = build(EDS, name, wire(_assignment(snapshot, name)), [view.origin])
    routes, origins = [], [Origin("Namespace", "", proxy.namespace)]
    bad: list[Built] = []
    for (_, name), config in sorted(snapshot.of(VirtualService).items()):
        rule = config.spec.http[0]  # type: ignore[index]
        target = rule.route[0].destination.host  # type: ignore[index]
        if name.startswith("bad"):
            bad.append(build(LDS, name, wire(_broken_listener(name)), [config.origin]))
            continue
        action = RouteAction(cluster="" if name.startswith("wrong") else target)
        routes.append(Route(match=RouteMatch(prefix=rule.match[0].uri.prefix), route=action))  # type: ignore[index,union-attr]
        origins.append(config.origin)
    host = VirtualHost(name="all", domains=["*"], routes=routes)
    route = build(RDS, "routes", wire(RouteConfiguration(name="routes", virtual_hosts=[host])), origins)
    secret = OWN if proxy.kind == "sidecar" else f"{GATEWAY_PREFIX}credential"
    listeners = [
        build(LDS, "main", wire(_listener("main")), [Origin("Namespace", "", proxy.namespace)]),
        build(LDS, "tls", wire(_listener("tls", secret)), [Origin("Namespace", "", proxy.namespace)]),
        *bad,
    ]
    return {CDS: clusters, EDS: assignments, LDS: {b.name: b for b in listeners}, RDS: {"routes": route}}


def _assignment(snapshot: Snapshot, name: str) -> ClusterLoadAssignment:
    known = snapshot.endpoints.get(("default", name))
    found = [
        LbEndpoint(endpoint=Endpoint(address=_address(endpoint.address, port)))
        for endpoint in (known.endpoints if known else ())
        for port in endpoint.ports.values()
    ]
    return ClusterLoadAssignment(cluster_name=name, endpoints=[LocalityLbEndpoints(lb_endpoints=found)])


def _address(host: str, port: int) -> Address:
    return Address(socket_address=SocketAddress(address=host, port_value=port))


def _listener(name: str, secret: str = "") -> Listener:
    """Routes over RDS; with a certificate over SDS, if it names one."""
    manager = HttpConnectionManager(
        stat_prefix="main",
        rds=Rds(config_source=ADS, route_config_name="routes"),
        http_filters=[HttpFilter(name="envoy.filters.http.router", typed_config=any_of(Router()))],
    )
    connection = Filter(name="envoy.filters.network.http_connection_manager", typed_config=any_of(manager))
    chain = FilterChain(filters=[connection])
    if secret:
        certificate = SdsSecretConfig(name=secret, sds_config=ADS)
        tls = DownstreamTlsContext(
            common_tls_context=CommonTlsContext(tls_certificate_sds_secret_configs=[certificate])
        )
        chain.transport_socket.CopyFrom(TransportSocket(name="envoy.transport_sockets.tls", typed_config=any_of(tls)))
    return Listener(name=name, address=_address("127.0.0.1", 0), filter_chains=[chain])


def _broken_listener(name: str) -> Listener:
    unknown = AnyMessage(type_url="type.googleapis.com/no.such.Filter")
    chain = FilterChain(filters=[Filter(name="no.such.filter", typed_config=unknown)])
    return Listener(name=name, address=_address("127.0.0.1", 0), filter_chains=[chain])


@dataclass
class Mesh:
    """A running control plane and its API."""

    api: FakeApi
    ports: Ports
    directory: Path
    session: aiohttp.ClientSession
    settings: Settings
    translate: Generate
    findings: list[Finding] = field(default_factory=list)
    analyse: Analysis | None = None
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _task: asyncio.Task[None] | None = None

    async def ask(self, path: str, **query: str) -> Any:
        """What the monitoring port says."""
        url = f"http://127.0.0.1:{self.ports.monitoring}/{path}"
        async with self.session.get(url, params=query) as response:
            return await response.json() if response.content_type == "application/json" else await response.text()

    async def live(self, kind: str, name: str, *, wait: float = 10, namespace: str = "default") -> Any:
        """Where a resource stands, after waiting for it to be live."""
        return await self.ask("debug/config", kind=kind, namespace=namespace, name=name, wait=str(wait))

    async def add_pod(
        self, name: str, *, namespace: str = "default", ip: str = "127.0.0.1", templates: str = ""
    ) -> str:
        """A pod, and a token for it."""
        await self.api.put("pods", pod(name, namespace=namespace, ip=ip, templates=templates))
        token = f"token-of-{namespace}-{name}"
        self.api.tokens[token] = (namespace, "default", name, f"uid of {namespace}/{name}")
        return token

    async def kill(self) -> None:
        """The control plane is gone."""
        if self._task is not None:
            self._stop.set()
            await self._task
            self._task = None

    async def start(self) -> None:
        """The control plane is there, on the same ports when it was there before."""
        self._stop = asyncio.Event()
        translation = Translation(self.translate, self.analyse or (lambda *_: self.findings))
        started: asyncio.Future[Ports] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(run(self.settings, self._stop, lambda: translation, started.set_result))
        await asyncio.wait({self._task, started}, return_when=asyncio.FIRST_COMPLETED, timeout=10)
        if not started.done():
            raise AssertionError("the control plane did not start") from self._task.exception()
        self.ports = started.result()
        self.settings = replace(self.settings, ports=self.ports)


@asynccontextmanager
async def meshed(
    directory: Path,
    *,
    issue_for: timedelta = timedelta(hours=24),
    translate: Generate | None = None,
    analyse: Analysis | None = None,
) -> AsyncIterator[Mesh]:
    """A control plane that serves; with this module's translation if none is given."""
    async with serving() as api, aiohttp.ClientSession() as session:
        await api.put("namespaces", {"metadata": {"name": "default"}})
        (directory / "token").write_text("istiod's own")
        (directory / "ca.crt").write_bytes(Authority.create("api").certificate)
        settings = Settings(
            api_server=api.url,
            token_file=directory / "token",
            ca_file=directory / "ca.crt",
            issue_for=issue_for,
            host="127.0.0.1",
            ports=Ports(0, 0, 0, 0, 0),
            crash_directory=directory / "crashes",
        )
        mesh = Mesh(api, Ports(0, 0, 0, 0, 0), directory, session, settings, translate or generate, analyse=analyse)
        await mesh.start()
        try:
            await api.until(lambda: api.find("configmaps", "istio-ca-root-cert", "default") is not None)
            yield mesh
        finally:
            await mesh.kill()


@dataclass
class Envoy:
    """A real proxy: its admin address, and the process."""

    process: subprocess.Popen[bytes]
    admin: str
    session: aiohttp.ClientSession
    directory: Path

    async def get(self, path: str) -> str:
        """Ask its administration interface."""
        async with self.session.get(f"http://{self.admin}{path}") as response:
            return await response.text()

    async def listener(self, name: str) -> str:
        """Where a listener of that name listens, as HOST:PORT; empty when there is none."""
        listed = json.loads(await self.get("/listeners?format=json")).get("listener_statuses", [])
        for status in listed:
            if status["name"] == name:
                address = status["local_address"]["socket_address"]
                return f"{address['address']}:{address['port_value']}"
        return ""

    async def until_ready(self, seconds: float = 10) -> None:
        """Wait until it is live."""
        await eventually(self._is_live, seconds)

    async def _is_live(self) -> bool:
        return "LIVE" in await self.get("/ready")

    def log(self) -> str:
        """What it has written."""
        return (self.directory / "envoy.log").read_text()


@asynccontextmanager
async def envoy(
    mesh: Mesh,
    name: str,
    token: str,
    *,
    namespace: str = "default",
    kind: str = "sidecar",
    expand: Mapping[str, str] | None = None,
) -> AsyncIterator[Envoy]:
    """A real Envoy with the injector's bootstrap, its files elsewhere and its ports any that are free."""
    directory = mesh.directory / f"{namespace}-{name}"
    for part in ("tokens", "istio"):
        (directory / part).mkdir(parents=True, exist_ok=True)
    (directory / "tokens/istio-token").write_text(token)
    roots = mesh.api.find("configmaps", "istio-ca-root-cert", "default")
    assert roots is not None
    moved = {"/var/run/secrets": str(directory)}
    for file, content in roots["data"].items():
        (directory / "istio" / file).write_text(_replaced(content, moved))
    settings = bootstrap.ProxySettings("router" if kind == "router" else "sidecar")
    config = bootstrap.config(settings)
    config["admin"]["address"]["socket_address"]["port_value"] = 0
    for listener in config["static_resources"]["listeners"]:
        listener["address"]["socket_address"].update(address="127.0.0.1", port_value=0)
    plane = next(c for c in config["static_resources"]["clusters"] if c["name"] == "xds-grpc")
    plane["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"] = {
        "address": "127.0.0.1",
        "port_value": mesh.ports.xds,
    }
    variables = {"POD_NAME": name, "POD_NAMESPACE": namespace, "INSTANCE_IP": "127.0.0.1", "SERVICE_ACCOUNT": "default"}
    variables |= expand or {}
    text = _replaced(json.dumps(config), {**moved, **{f"$({key})": value for key, value in variables.items()}})
    address_file = directory / "admin"
    address_file.unlink(missing_ok=True)
    with (directory / "envoy.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: ASYNC220 - starting it takes no time
            [
                ENVOY,
                "--config-yaml",
                text,
                "--disable-hot-restart",
                "--concurrency",
                "1",
                "--log-level",
                "warning",
                "--admin-address-path",
                str(address_file),
            ],
            stdout=log,
            stderr=log,
            env={**os.environ},
        )
    try:

        async def has_started() -> bool:
            assert process.poll() is None, (directory / "envoy.log").read_text()
            return address_file.exists() and bool(address_file.read_text())

        await eventually(has_started)
        yield Envoy(process, address_file.read_text(), mesh.session, directory)
    finally:
        process.kill()
        process.wait()


def _replaced(text: str, words: Mapping[str, str]) -> str:
    for old, new in words.items():
        text = text.replace(old, new)
    return text
