"""LoadBalancer Services answer on the host's loopback address, and say so; a taken port is named."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from mesh_lab.kube.config import BALANCER, HostPort
from mesh_lab.kube.network import hostports
from mesh_lab.kube.network.endpoints import Catalogue, Name
from mesh_lab.kube.network.hostports import HostPorts, load_balancer, wishes
from mesh_lab.kube.objects.services import Service
from mesh_lab.kube.registry.registry import Registry
from mesh_lab.kube.resources import ENDPOINTSLICES, EVENTS, SERVICES
from mesh_lab.kube.store import Store
from tests.unit.kube.network.catalogues import endpoint_slice, service
from tests.unit.kube.network.hosts import Host, free_port

Object = dict[str, Any]
WEB = Name("default", "web")


def view(**spec: Any) -> Service:
    return msgspec.convert(service("web", **spec), Service)


def port(number: int, node_port: int = 0, protocol: str = "TCP") -> Object:
    return {"name": f"p{number}", "port": number, "protocol": protocol, "nodePort": node_port}


def asked(*configured: HostPort, **spec: Any) -> dict[int, tuple[int, bool]]:
    return {each.host_port: (each.port.port, each.main) for each in wishes(WEB, view(**spec), configured)}


def test_a_balanced_port_is_bound_as_it_is_unless_it_is_privileged_and_node_ports_always() -> None:
    ports = [port(80, 30080), port(9000, 30900), port(53, 30053, "UDP")]
    assert asked(type="LoadBalancer", ports=ports) == {30080: (80, False), 9000: (9000, True), 30900: (9000, False)}
    assert asked(type="NodePort", ports=ports) == {30080: (80, False), 30900: (9000, False)}
    assert asked(type="ClusterIP", ports=ports) == {}


def test_configured_ports_take_the_place_of_the_service_port() -> None:
    chosen = HostPort(namespace="default", service="web", port=9000, host_port=8080)
    other = HostPort(namespace="shop", service="web", port=80, host_port=8081)
    ports = [port(80), port(9000)]
    assert asked(chosen, other, type="LoadBalancer", ports=ports) == {8080: (9000, True)}
    assert asked(chosen, type="ClusterIP", ports=ports) == {8080: (9000, True)}


def test_a_port_of_the_same_number_has_precedence_over_a_configured_one() -> None:
    chosen = HostPort(namespace="default", service="web", port=80, host_port=9000)
    assert asked(chosen, type="LoadBalancer", ports=[port(80), port(9000)]) == {9000: (9000, True)}


def test_the_status_lists_ports_that_answer_under_their_own_number() -> None:
    ports = [port(80), port(9000), port(9001), port(9002, protocol="UDP")]
    chosen = HostPort(namespace="default", service="web", port=80, host_port=8080)
    asked_for = view(type="LoadBalancer", ports=ports)
    outcomes = [(each, "taken" * (each.host_port == 9001)) for each in wishes(WEB, asked_for, [chosen])]
    (ingress,) = load_balancer(asked_for, outcomes)["ingress"]
    assert {each["port"]: each.get("error", "") for each in ingress["ports"]} == {
        80: "NotOnHost",
        9000: "",
        9001: "PortTaken",
        9002: "NotOnHost",
    }
    elsewhere = view(type="LoadBalancer", ports=[port(80)])
    assert load_balancer(elsewhere, [(each, "") for each in wishes(WEB, elsewhere, [chosen])]) == {}


@dataclass
class Running:
    registry: Registry
    host: Host
    host_port: int

    async def until(self, what: str, holds: Any) -> None:
        try:
            async with asyncio.timeout(20):
                while not holds():  # noqa: ASYNC110 - any of many objects may bring it about
                    await asyncio.sleep(0.005)
        except TimeoutError:
            raise AssertionError(f"did not come about: {what}") from None

    def balancer(self) -> Object:
        status: Object = self.registry.get(SERVICES, "web", "default").get("status") or {}
        balancer: Object = status.get("loadBalancer") or {}
        return balancer

    def events(self) -> dict[str, str]:
        return {each["reason"]: each["message"] for each in self.registry.list(EVENTS)}


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    registry, catalogue, host = Registry(Store()), Catalogue(), Host()
    await registry.bootstrap()
    number = free_port()
    ports = HostPorts(registry, catalogue, host.sockets)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(each) for each in (host.run(), catalogue.run(registry), ports.run())]
        try:
            yield Running(registry, host, number)
        finally:
            for task in tasks:
                task.cancel()
    host.close()


def balanced(number: int, name: str = "web") -> Object:
    ports = [{"name": "http", "port": number, "protocol": "TCP"}]
    made = service(name, type="LoadBalancer", ports=ports, allocateLoadBalancerNodePorts=False)
    del made["metadata"]["uid"]
    return made


@contextlib.asynccontextmanager
async def greeting(running: Running) -> AsyncIterator[None]:
    """A server that says hello, as the endpoint of Service `web`."""

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        target = server.sockets[0].getsockname()[1]
        endpoints = endpoint_slice("web", ["127.0.0.1"], ports=[{"name": "http", "port": target, "protocol": "TCP"}])
        del endpoints["metadata"]["uid"]
        # An address of the loopback range is no valid endpoint to the API, and here the only one that leads anywhere.
        endpoints["endpoints"][0]["addresses"] = ["127.0.0.1"]
        await running.registry.create(ENDPOINTSLICES, endpoints)
        yield


async def test_the_host_reaches_a_pod_through_the_service(running: Running) -> None:
    await running.registry.create(SERVICES, balanced(running.host_port))
    await running.until("an ingress", running.balancer)
    ports = [{"port": running.host_port, "protocol": "TCP"}]
    assert running.balancer() == {"ingress": [{"ip": BALANCER, "ipMode": "VIP", "ports": ports}]}
    async with greeting(running):
        await running.until("an event", lambda: "EnsuredLoadBalancer" in running.events())
        for address in ("127.0.0.1", BALANCER):
            assert await _said(address, running.host_port) == b"hello"
    await running.registry.delete(SERVICES, "web", "default")
    await running.until("a free port", lambda: all(_free(each, running.host_port) for each in ("127.0.0.1", BALANCER)))


async def test_a_service_that_asks_for_the_port_of_another_does_not_get_its_connections(running: Running) -> None:
    await running.registry.create(SERVICES, balanced(running.host_port))
    await running.until("an ingress", running.balancer)
    async with greeting(running):
        assert await _said(BALANCER, running.host_port) == b"hello"
        late = balanced(running.host_port, "late")
        late["spec"] = {name: value for name, value in late["spec"].items() if not name.startswith("clusterIP")}
        await running.registry.create(SERVICES, late)
        await running.until("a warning", lambda: "PortTaken" in running.events())
        for address in ("127.0.0.1", BALANCER):
            assert await _said(address, running.host_port) == b"hello"


async def _said(address: str, number: int) -> bytes:
    answer = b""
    async with asyncio.timeout(20):
        while not answer:
            reader, writer = await asyncio.open_connection(address, number)
            try:
                answer = await reader.read()
            except ConnectionResetError:
                await asyncio.sleep(0.01)
            writer.close()
    return answer


@pytest.mark.parametrize("address", ["127.0.0.1", BALANCER])
async def test_a_taken_port_leaves_no_ingress_and_an_event_that_names_the_holder(
    running: Running, address: str
) -> None:
    with socket.create_server((address, running.host_port)):
        await running.registry.create(SERVICES, balanced(running.host_port))
        await running.until("a warning", lambda: "PortTaken" in running.events())
        assert running.events()["PortTaken"].count("nginx (pid 12)") == 1
        assert running.balancer() == {}
        assert _free("127.0.0.1" if address == BALANCER else BALANCER, running.host_port)


async def test_a_port_that_becomes_free_is_bound_and_its_absence_is_reported_once(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[int] = []
    listen = running.host.sockets.listen

    async def counted(host: str, number: int) -> socket.socket:
        tries.append(number)
        return await listen(host, number)

    monkeypatch.setattr(hostports, "TRY_AGAIN_SECONDS", 0.02)
    monkeypatch.setattr(running.host.sockets, "listen", counted)
    with socket.create_server(("127.0.0.1", running.host_port)):
        await running.registry.create(SERVICES, balanced(running.host_port))
        await running.until("several tries", lambda: len(tries) >= 4)
    await running.until("an ingress", running.balancer)
    await running.until("an event", lambda: "EnsuredLoadBalancer" in running.events())
    (reported,) = [each for each in running.registry.list(EVENTS) if each["reason"] == "PortTaken"]
    assert reported.get("count", 1) == 1


async def test_a_service_that_is_no_longer_a_load_balancer_releases_its_port(running: Running) -> None:
    await running.registry.create(SERVICES, balanced(running.host_port))
    await running.until("an ingress", running.balancer)
    chosen = {"type": "ClusterIP"}

    def change(found: Object) -> Object:
        found["spec"] |= chosen
        for field in ("allocateLoadBalancerNodePorts", "externalTrafficPolicy"):
            found["spec"].pop(field, None)
        return found

    await running.registry.modify(SERVICES, "web", "default", change)
    await running.until("no ingress", lambda: not running.balancer())
    await running.until("a free port", lambda: _free(BALANCER, running.host_port))


def test_only_a_load_balancer_answers_under_its_number_at_the_balancers_address() -> None:
    own, chosen = port(9000), HostPort(namespace="default", service="web", port=80, host_port=80)
    found = wishes(WEB, view(type="LoadBalancer", ports=[port(80, 30080), own]), [chosen])
    assert {wish.host_port: wish.addresses for wish in found} == {
        9000: ("127.0.0.1", BALANCER),
        80: ("127.0.0.1", BALANCER),
        30080: ("127.0.0.1",),
    }
    (inside,) = wishes(WEB, view(type="ClusterIP", ports=[port(80)]), [chosen])
    assert inside.addresses == ("127.0.0.1",)


def _free(address: str, number: int) -> bool:
    try:
        socket.create_server((address, number)).close()
    except OSError:
        return False
    return True
