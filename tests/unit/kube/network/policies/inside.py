"""What tests of policies do inside of namespaces, see `tests.unit.kube.network.inside`, whose pods these are."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
import socket
import sys
from collections.abc import Sequence
from itertools import product
from typing import Any

from mesh_lab.kube.network.nft import Nft
from mesh_lab.kube.network.node import prepare_node
from mesh_lab.kube.network.policies.compiling import compile_policies
from mesh_lab.kube.network.policies.model import Member, NamedPort, World
from mesh_lab.kube.network.policies.text import FAMILIES, NOTHING, Table, change, render
from mesh_lab.kube.network.relay import MARK
from mesh_lab.kube.network.relaying import Relaying
from mesh_lab.kube.network.ruleset import VirtualPort, whole
from mesh_lab.kube.objects.policies import NetworkPolicy
from tests.unit.kube.network.inside import BALANCERS, DNS, NODE, PLACES, PODS, SERVICES, VIRTUAL, Pod
from tests.unit.kube.network.policies.reference import Packet, passes
from tests.unit.kube.network.policies.worlds import (
    NAMESPACES,
    labels,
    pod,
    policy,
    random_policies,
    random_world,
    world,
)

IP, IP6 = FAMILIES
_ELEMENTS = re.compile(r"elements = {([^}]*)}")
UDP_PORTS = (80, 8080)


class Rules:
    """The table of policies in the kernel."""

    def __init__(self) -> None:
        self.nft = Nft()
        self.present: Table = NOTHING

    def apply(self, policies: Sequence[NetworkPolicy], present: World) -> None:
        """Lead to these policies from those before."""
        wanted = render(compile_policies(policies, present), IP)
        if text := change(self.present, wanted, IP):
            self.nft.run(text)
        self.present = wanted

    def listed(self) -> list[str]:
        """The kernel's rules, without an order that means nothing."""
        return sorted(_ELEMENTS.sub(_in_order, self.nft.run("list ruleset")).splitlines())


def _in_order(elements: re.Match[str]) -> str:
    return " ".join(sorted(each.strip() for each in elements[1].split(",")))


def random_steps(seed: int, steps: int) -> list[str]:
    """Random policies one after another, without a fresh start; where datagrams pass that should not, or do not."""
    _prepare()
    dice, rules, wrong = random.Random(seed), Rules(), []
    pods = [Pod(number) for number in range(2, 6)]
    receivers = {(each.address, port): each.receive(port) for each in pods for port in UDP_PORTS}
    for step in range(steps):
        present, policies = random_world(dice, len(pods)), random_policies(dice)
        rules.apply(policies, present)
        for source, (destination, port) in product(pods, receivers):
            packet = Packet(source.address, destination, "udp", port)
            arrived = _arrives(source, receivers[destination, port], destination, port)
            if arrived != passes(policies, present, packet):
                wrong.append(f"step {step}: {packet} {'passed' if arrived else 'did not pass'}: {policies} {present}")
    return wrong


def same_as_fresh(seed: int, steps: int) -> list[str]:
    """Random changes one after another; those after which the rules are not what they would be made at once."""
    dice, rules, wrong = random.Random(seed), Rules(), []
    for step in range(steps):
        present, policies = random_world(dice), random_policies(dice)
        rules.apply(policies, present)
        found = rules.listed()
        fresh = change(None, rules.present, IP)
        rules.nft.run(fresh or "flush ruleset")
        if found != rules.listed():
            wrong.append(f"step {step}: {found}\n{rules.listed()}")
    return wrong


def ways() -> dict[str, Any]:
    """Connections of all sorts to and from isolated pods."""
    _prepare()
    client, server = Pod(2), Pod(3)
    listener = server.serve()
    nft = Nft()
    port = VirtualPort("svc/a/web/tcp/80", VIRTUAL, "tcp", 80, 0, False, ((server.address, 8080),))
    nft.run(whole(PLACES, {port.chain: port}))
    dns = Member("kube-system", {"k8s-app": "kube-dns"}, (DNS,), (NamedPort("dns", "udp", 53),))
    pods = pod(2, "a", app="client"), pod(3, "a", NamedPort("web", "tcp", 8080), app="server")
    present = World((*pods, dns), NAMESPACES | {"kube-system": {}})
    rules = Rules()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as resolver:
        resolver.bind((DNS, 53))
        found: dict[str, Any] = {}

        def note(name: str, *policies: NetworkPolicy) -> None:
            rules.apply(policies, present)
            found[name] = {
                "pod": _connects(client, server.address, 8080),
                "service": _connects(client, VIRTUAL, 80),
                "probe": _connects(None, server.address, 8080),
                "host": _connects(None, server.address, 8080, mark=MARK),
                "itself": _connects(server, VIRTUAL, 80),
                "dns": _arrives(client, resolver, DNS, 53),
            }

        server_only = labels(app="server")
        note("none")
        note("ingress denied", policy(select=server_only))
        note("from pods only", policy(select=server_only, ingress=[{"from": [{"podSelector": {}}]}]))
        block = {"ipBlock": {"cidr": f"{NODE}/32"}}
        note("from the node only", policy(select=server_only, ingress=[{"from": [block]}]))
        named = {"ports": [{"protocol": "TCP", "port": "web"}]}
        note("by the name of the port", policy(select=server_only, ingress=[named]))
        note("egress denied", policy(types=("Egress",)))
        to_dns = {"to": [{"namespaceSelector": {}, "podSelector": labels(**{"k8s-app": "kube-dns"})}]}
        note("egress to dns", policy(types=("Egress",), egress=[to_dns]))
        note("dns denied", policy(namespace="kube-system"))
        rules.apply((), present)
        made = client.connect(server.address, 8080)[1]
        assert made is not None
        accepted = _accept_last(listener, made)
        rules.apply((policy(), policy(types=("Egress",))), present)
        made.send(b"still here")
        accepted.settimeout(5)
        found["an open connection"] = accepted.recv(16).decode()
        rules.apply((), present)
        found["afterwards"] = rules.nft.run("list tables").split()
    return found


def relayed() -> str:
    """What the kernel counts of the packets that the relay's mark is on, after a connection from the host."""
    _prepare()
    server = Pod(3)
    listener = server.serve()
    nft = Nft()
    marked = f"type filter hook output priority 0; ip daddr {server.address} meta mark {MARK:#x} counter"
    nft.run(f"table ip counting {{\nchain seen {{\n{marked}\n}}\n}}")

    async def connect() -> None:
        relaying = Relaying()
        front = socket.create_server(("127.0.0.1", 0))
        await relaying.serve("front", front, [(server.address, 8080)])
        _, writer = await asyncio.open_connection(*front.getsockname())
        await asyncio.to_thread(listener.accept)
        writer.close()
        await relaying.close()

    asyncio.run(connect())
    return nft.run("list chain ip counting seen")


def ip6() -> bool:
    """Whether nft takes the table of the other family."""
    members = (Member("a", {}, ("fd00::2",)), Member("a", {"app": "web"}, ("fd00::3",), (NamedPort("w", "tcp", 80),)))
    block = {"ipBlock": {"cidr": "fd00::/16", "except": ["fd00::8/125"]}}
    rule = {"from": [block, {"podSelector": {}}], "ports": [{"port": "w"}, {"port": 80, "endPort": 90}]}
    ruleset = compile_policies([policy(ingress=[rule])], world(*members), 6)
    nft = Nft()
    nft.run(change(NOTHING, render(ruleset, IP6), IP6))
    return "fd00::10-fd00:ffff" in nft.run("list ruleset")


def _prepare() -> None:
    prepare_node(NODE, DNS, PODS, SERVICES, BALANCERS)


def _arrives(source: Pod, receiver: socket.socket, address: str, port: int) -> bool:
    """Whether a datagram of a new flow arrives: it has when the call that sends it returns."""
    with contextlib.suppress(BlockingIOError):
        while receiver.recv(16):
            pass
    with source.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender, contextlib.suppress(OSError):
        sender.sendto(b"x", (address, port))
    with contextlib.suppress(BlockingIOError):
        return bool(receiver.recv(16))
    return False


def _connects(source: Pod | None, address: str, port: int, *, mark: int = 0) -> bool:
    """Whether the handshake is over when the first call returns, which sends the first packet; None is the node."""
    with source.entered() if source else contextlib.nullcontext():
        made = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    with made:
        if mark:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
        made.connect_ex((address, port))
        try:
            made.getpeername()
        except OSError:
            return False
    return True


def _accept_last(listener: socket.socket, client: socket.socket) -> socket.socket:
    """The server's end of a connection; those before it in the queue are closed."""
    while True:
        accepted, source = listener.accept()
        if source == client.getsockname():
            return accepted
        accepted.close()


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](**json.loads(sys.argv[2]))))  # noqa: T201
