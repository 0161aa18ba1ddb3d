"""LoadBalancer Services answer on the host's loopback, each at an address of its own; a taken port is named."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from mesh_lab.kube.config import INGRESS_ADDRESS, INGRESS_SERVICE, HostPort
from mesh_lab.kube.network import hostports
from mesh_lab.kube.network.balancers import Addresses
from mesh_lab.kube.network.endpoints import Catalogue
from mesh_lab.kube.network.hostports import HostPorts
from mesh_lab.kube.registry.registry import Registry
from mesh_lab.kube.resources import ENDPOINTSLICES, EVENTS, NAMESPACES, SERVICES
from mesh_lab.kube.store import Store
from tests.unit.kube.network.catalogues import endpoint_slice, service
from tests.unit.kube.network.hosts import Host, free_port

Object = dict[str, Any]
FIRST, SECOND = "127.80.0.2", "127.80.0.3"
"""The addresses that come first where none is reserved."""


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

    def balancer(self, name: str = "web") -> Object:
        status: Object = self.registry.get(SERVICES, name, "default").get("status") or {}
        balancer: Object = status.get("loadBalancer") or {}
        return balancer

    def address(self, name: str = "web") -> str:
        return str(next((each["ip"] for each in self.balancer(name).get("ingress", ())), ""))

    def events(self, name: str = "web") -> dict[str, str]:
        events = (each for each in self.registry.list(EVENTS) if each["involvedObject"]["name"] == name)
        return {each["reason"]: each["message"] for each in events}

    async def addressed(self, name: str = "web") -> str:
        await self.until("an address", lambda: self.address(name))
        return self.address(name)


@contextlib.asynccontextmanager
async def lab(registry: Registry, host: Host, *configured: HostPort) -> AsyncIterator[None]:
    """What is tested, on a registry that outlives it."""
    catalogue = Catalogue()
    ports = HostPorts(registry, catalogue, host.sockets, configured)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(each) for each in (host.run(), catalogue.run(registry), ports.run())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
    host.close()


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    registry, host = Registry(Store()), Host()
    await registry.bootstrap()
    async with lab(registry, host):
        yield Running(registry, host, free_port())


def balanced(number: int, name: str = "web", **spec: Any) -> Object:
    ports = [{"name": "http", "port": number, "protocol": "TCP"}]
    made = service(name, type="LoadBalancer", ports=ports, allocateLoadBalancerNodePorts=False, **spec)
    del made["metadata"]["uid"], made["spec"]["clusterIP"]
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
    assert running.balancer() == {"ingress": [{"ip": FIRST, "ipMode": "VIP", "ports": ports}]}
    async with greeting(running):
        await running.until("an event", lambda: "EnsuredLoadBalancer" in running.events())
        for address in ("127.0.0.1", FIRST):
            assert await _said(address, running.host_port) == b"hello"
    await running.registry.delete(SERVICES, "web", "default")
    await running.until("a free port", lambda: all(_free(each, running.host_port) for each in ("127.0.0.1", FIRST)))


async def test_two_services_have_one_port_at_addresses_of_their_own_and_127_0_0_1_is_the_firsts(
    running: Running,
) -> None:
    await running.registry.create(SERVICES, balanced(running.host_port))
    assert await running.addressed() == FIRST
    async with greeting(running):
        assert await _said(FIRST, running.host_port) == b"hello"
        await running.registry.create(SERVICES, balanced(running.host_port, "late"))
        assert await running.addressed("late") == SECOND
        assert "error" not in running.balancer("late")["ingress"][0]["ports"][0]
        await running.until("an event", lambda: "EnsuredLoadBalancer" in running.events("late"))
        answers = f"port {running.host_port} answers on {SECOND}:{running.host_port} of the host"
        elsewhere = f"127.0.0.1:{running.host_port} does not lead there: it leads to Service default/web"
        assert running.events("late") == {"EnsuredLoadBalancer": f"{answers}; {elsewhere}"}
        for address in ("127.0.0.1", FIRST):
            assert await _said(address, running.host_port) == b"hello"


async def test_127_0_0_1_is_the_next_services_as_soon_as_the_first_is_gone(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hostports, "TRY_AGAIN_SECONDS", 3600)
    place = f"127.0.0.1:{running.host_port}"
    for name in ("web", "late"):
        await running.registry.create(SERVICES, balanced(running.host_port, name))
        await running.addressed(name)
    await running.until("a remark", lambda: place in running.events("late").get("EnsuredLoadBalancer", ""))
    await running.registry.delete(SERVICES, "web", "default")

    def told() -> bool:
        messages = [each["message"] for each in running.registry.list(EVENTS)]
        return f"port {running.host_port} answers on {place} of the host" in messages

    await running.until("the second way", told)
    assert not _free("127.0.0.1", running.host_port)


async def test_a_deleted_services_address_is_the_next_ones(running: Running) -> None:
    for name in ("web", "other"):
        await running.registry.create(SERVICES, balanced(running.host_port, name))
        await running.addressed(name)
    await running.registry.delete(SERVICES, "web", "default")
    await running.until("a free port", lambda: _free(FIRST, running.host_port))
    await running.registry.create(SERVICES, balanced(running.host_port, "late"))
    assert (await running.addressed("late"), running.address("other")) == (FIRST, SECOND)


async def test_addresses_are_kept_over_a_restart_and_one_that_all_had_is_not() -> None:
    registry, number, host = Registry(Store()), free_port(), Host()
    await registry.bootstrap()
    async with lab(registry, host):
        running = Running(registry, host, number)
        for name in ("a", "b", "c"):
            await registry.create(SERVICES, balanced(number, name))
            await running.addressed(name)
    before = {name: running.address(name) for name in ("b", "c")}
    await registry.delete(SERVICES, "a", "default")
    # As labs of before had it, where all shared one address.
    old = {"loadBalancer": {"ingress": [{"ip": INGRESS_ADDRESS, "ports": []}]}}
    for name in ("d", "e"):
        await registry.create(SERVICES, balanced(number, name))
        await registry.modify(SERVICES, name, "default", lambda found: found | {"status": old}, subresource="status")
    host = Host()
    async with lab(registry, host):
        running = Running(registry, host, number)
        await running.until("news", lambda: all(running.address(n) not in ("", INGRESS_ADDRESS) for n in ("d", "e")))
        assert {name: running.address(name) for name in before} == before
        assert {running.address("d"), running.address("e")} == {FIRST, "127.80.0.5"}


async def test_the_ingress_gateways_address_is_kept_for_it(running: Running) -> None:
    await running.registry.create(SERVICES, balanced(running.host_port))
    namespace, name = INGRESS_SERVICE
    home = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    await running.registry.create(NAMESPACES, home)
    late = balanced(running.host_port, name)
    late["metadata"]["namespace"] = namespace
    await running.registry.create(SERVICES, late)

    def address() -> str:
        status = running.registry.get(SERVICES, name, namespace)["status"]["loadBalancer"]
        return str(status["ingress"][0]["ip"]) if status else ""

    await running.until("an address", address)
    assert (await running.addressed(), address()) == (FIRST, INGRESS_ADDRESS)


async def test_an_address_that_is_asked_for_is_given_when_it_is_free_and_else_none(running: Running) -> None:
    wanted = "127.80.77.7"
    await running.registry.create(SERVICES, balanced(running.host_port, loadBalancerIP=wanted))
    assert await running.addressed() == wanted
    await running.registry.create(SERVICES, balanced(running.host_port, "late", loadBalancerIP=wanted))
    await running.until("a warning", lambda: "AllocationFailed" in running.events("late"))
    assert running.events("late")["AllocationFailed"] == f"no address: {wanted} is the address of Service default/web"
    assert running.balancer("late") == {}
    await running.registry.create(SERVICES, balanced(running.host_port, "strange", loadBalancerIP="192.0.2.1"))
    await running.until("a warning", lambda: "AllocationFailed" in running.events("strange"))
    assert "127.80.0.0/16" in running.events("strange")["AllocationFailed"]

    def asks_no_more(found: Object) -> Object:
        spec = {name: value for name, value in found["spec"].items() if name != "loadBalancerIP"}
        return found | {"spec": spec}

    await running.registry.modify(SERVICES, "late", "default", asks_no_more)
    assert await running.addressed("late") == FIRST


async def test_what_frees_the_address_that_is_asked_for_ends_the_wait(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hostports, "TRY_AGAIN_SECONDS", 0.02)
    wanted = "127.80.77.8"
    await running.registry.create(SERVICES, balanced(running.host_port, loadBalancerIP=wanted))
    await running.addressed()
    await running.registry.create(SERVICES, balanced(running.host_port, "late", loadBalancerIP=wanted))
    await running.until("a warning", lambda: "AllocationFailed" in running.events("late"))
    await running.registry.delete(SERVICES, "web", "default")
    assert await running.addressed("late") == wanted


async def test_a_service_without_an_address_says_that_all_are_given(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Addresses, "candidates", lambda *_: iter(()))
    await running.registry.create(SERVICES, balanced(running.host_port))
    await running.until("a warning", lambda: "AllocationFailed" in running.events())
    assert running.events()["AllocationFailed"] == "no address: Services have all addresses of 127.80.0.0/16"
    assert running.balancer() == {}


async def test_a_port_that_is_for_root_has_an_error_and_the_event_says_what_to_do(running: Running) -> None:
    running.host.reserved_below = 1024
    made = balanced(running.host_port)
    made["spec"]["ports"].append({"name": "web", "port": 443, "protocol": "TCP"})
    await running.registry.create(SERVICES, made)
    await running.until("a warning", lambda: "PortReserved" in running.events())
    assert running.events()["PortReserved"] == (
        f"port 443 does not answer on {FIRST}:443 of the host: port 443 is reserved for root: "
        "`sudo sysctl net.ipv4.ip_unprivileged_port_start=80` opens it to every user"
    )
    await running.until("an ingress", running.balancer)
    (ingress,) = running.balancer()["ingress"]
    errors = {each["port"]: each.get("error") for each in ingress["ports"]}
    assert errors == {443: "PortReserved", running.host_port: None}


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


async def test_another_process_with_the_port_at_an_address_makes_it_the_next_one(running: Running) -> None:
    with socket.create_server((FIRST, running.host_port)):
        await running.registry.create(SERVICES, balanced(running.host_port))
        assert await running.addressed() == SECOND
        await running.registry.create(SERVICES, balanced(free_port(), "other"))
        assert await running.addressed("other") == "127.80.0.4", "what that process has it may have more of"


async def test_an_address_of_before_where_another_process_is_now_is_given_up_at_the_start() -> None:
    registry, number = Registry(Store()), free_port()
    await registry.bootstrap()
    await registry.create(SERVICES, balanced(number))
    for taken, expected in (("", FIRST), (FIRST, SECOND), ("", SECOND)):
        with contextlib.ExitStack() as others:
            if taken:
                others.enter_context(socket.create_server((taken, number)))
            host = Host()
            async with lab(registry, host):
                running = Running(registry, host, number)

                def settled(running: Running = running, expected: str = expected) -> bool:
                    return running.address() == expected and not _free(expected, number)

                await running.until(f"{expected} answers", settled)


async def test_a_taken_127_0_0_1_is_no_warning_and_one_taken_everywhere_is(running: Running) -> None:
    with socket.create_server(("127.0.0.1", running.host_port)):
        await running.registry.create(SERVICES, balanced(running.host_port))
        await running.until("an event", lambda: "EnsuredLoadBalancer" in running.events())
        assert "nginx (pid 12)" in running.events()["EnsuredLoadBalancer"]
        assert "PortTaken" not in running.events()
    number = free_port()
    with socket.create_server(("", number)):
        await running.registry.create(SERVICES, balanced(number, "other"))
        await running.until("a warning", lambda: "PortTaken" in running.events("other"))
        assert running.events("other")["PortTaken"].count("nginx (pid 12)") == 1
        await running.until("an error", lambda: running.balancer("other"))
        port = {"port": number, "protocol": "TCP", "error": "PortTaken"}
        assert running.balancer("other") == {"ingress": [{"ip": SECOND, "ipMode": "VIP", "ports": [port]}]}


async def test_a_port_that_becomes_free_is_bound_and_its_absence_is_reported_once(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[int] = []
    listen = running.host.sockets.listen

    async def counted(host: str, number: int, *, quickly: bool = False) -> socket.socket:
        tries.append(number)
        return await listen(host, number, quickly=quickly)

    def error() -> Any:
        return running.balancer()["ingress"][0]["ports"][0].get("error")

    monkeypatch.setattr(hostports, "TRY_AGAIN_SECONDS", 0.02)
    monkeypatch.setattr(running.host.sockets, "listen", counted)
    with socket.create_server(("", running.host_port)):
        await running.registry.create(SERVICES, balanced(running.host_port))
        await running.until("several tries", lambda: len(tries) >= 6)
        assert error() == "PortTaken"
    await running.until("an answer", lambda: error() is None)
    await running.until("an event", lambda: "EnsuredLoadBalancer" in running.events())
    (reported,) = [each for each in running.registry.list(EVENTS) if each["reason"] == "PortTaken"]
    assert reported.get("count", 1) == 1


async def test_the_number_of_a_configured_port_is_no_others_second_way() -> None:
    registry, number, host = Registry(Store()), free_port(), Host()
    await registry.bootstrap()
    await registry.create(SERVICES, balanced(number, "other"))
    await registry.create(SERVICES, balanced(free_port()))
    (port,) = registry.get(SERVICES, "web", "default")["spec"]["ports"]
    chosen = HostPort(namespace="default", service="web", port=port["port"], host_port=number)
    async with lab(registry, host, chosen):
        running = Running(registry, host, number)
        await running.until("both", lambda: all("EnsuredLoadBalancer" in running.events(n) for n in ("web", "other")))
        assert running.events("other")["EnsuredLoadBalancer"].endswith(" Service default/web")
        async with greeting(running):
            assert await _said("127.0.0.1", number) == b"hello"


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
    await running.until("a free port", lambda: _free(FIRST, running.host_port))


def _free(address: str, number: int) -> bool:
    try:
        socket.create_server((address, number)).close()
    except OSError:
        return False
    return True
