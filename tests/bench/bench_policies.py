"""How long a changed label takes until it is in the kernel's rules: 100 NetworkPolicies over 100 pods.

    python -m tests.bench.bench_policies [POLICIES] [PODS]

A registry, the policies and nftables in a network namespace of their own; no pod runs. From the call that writes the
label until nft has taken the change, debounce included. Prints figures and judges none.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import sys
import time
from typing import Any

from mesh_lab.kube.network.nft import Nft
from mesh_lab.kube.network.policies.enforcing import NetworkPolicies
from mesh_lab.kube.recording import Recorder
from mesh_lab.kube.registry import Registry
from mesh_lab.kube.resources import NETWORK_POLICIES, PODS, SERVICEACCOUNTS
from mesh_lab.kube.store import Store
from tests.unit.kube.network.isolation import obstacle, unshare

CHANGES = 100
LIMIT_SECONDS = 10.0
INSIDE = "--inside"

Object = dict[str, Any]


class TimedNft(Nft):
    """Tells when a change has been taken."""

    def __init__(self) -> None:
        super().__init__()
        self.taken = asyncio.Event()
        self.bytes = 0

    async def apply(self, text: str) -> None:
        await super().apply(text)
        self.bytes = len(text)
        self.taken.set()


def policy(number: int) -> Object:
    """A policy with selectors of pods and namespaces, a named port, a range of ports and a block."""
    role = {"key": "role", "operator": "In", "values": [f"r{number}", f"r{number + 1}"]}
    peers = [
        {"podSelector": {"matchLabels": {"role": f"r{number}"}}},
        {"namespaceSelector": {}, "podSelector": {"matchExpressions": [role]}},
        {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.244.0.0/16"]}},
    ]
    ports = [{"port": "http"}, {"port": 8000 + number, "endPort": 8100 + number}]
    selector = {"matchLabels": {"group": f"g{number % 10}"}} if number % 2 else {}
    return {
        "metadata": {"name": f"p{number}", "namespace": "default"},
        "spec": {"podSelector": selector, "ingress": [{"from": peers, "ports": ports}]},
    }


def pod(number: int) -> Object:
    """A pod that some of the policies select, and others let in."""
    container = {"name": "main", "image": "app", "ports": [{"name": "http", "containerPort": 8080}]}
    labels = {"group": f"g{number % 10}", "role": f"r{number}", "app": f"a{number}"}
    return {
        "metadata": {"name": f"a{number}", "namespace": "default", "labels": labels},
        "spec": {"containers": [container]},
    }


async def measure(policies: int, pods: int) -> None:
    """Make them, change a label again and again, and print what it took."""
    registry = Registry(Store())
    await registry.bootstrap()
    await registry.create(SERVICEACCOUNTS, {"metadata": {"name": "default", "namespace": "default"}})
    nft = TimedNft()
    network = NetworkPolicies(registry, nft, Recorder(registry, "bench"))
    for number in range(policies):
        await registry.create(NETWORK_POLICIES, policy(number))
    uids = [(await registry.create(PODS, pod(number)))["metadata"]["uid"] for number in range(pods)]
    start = time.perf_counter()
    await asyncio.gather(*(network.admit(uid, (f"10.244.{i // 250}.{i % 250 + 2}",)) for i, uid in enumerate(uids)))
    took = 1000 * (time.perf_counter() - start)
    sys.stdout.write(f"all pods admitted at once: {took:.0f} ms, {nft.bytes:,} bytes for nft\n")
    running = asyncio.create_task(network.run())
    await asyncio.sleep(0.1)  # the watches begin
    roles = (f"r{number // 2 % policies}" if number % 2 else "nobody" for number in range(CHANGES))
    seconds = [await _change(registry, nft, role) for role in roles]
    milliseconds = sorted(1000 * each for each in seconds)
    worst = milliseconds[int(0.99 * len(milliseconds))]
    sys.stdout.write(f"a changed label: median {statistics.median(milliseconds):.1f} ms, 99% within {worst:.1f} ms\n")
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def _change(registry: Registry, nft: TimedNft, role: str) -> float:
    nft.taken.clear()
    start = time.perf_counter()

    def relabel(old: Object) -> Object:
        labels = {**old["metadata"]["labels"], "role": role}
        return {**old, "metadata": {**old["metadata"], "labels": labels}}

    await registry.modify(PODS, "a0", "default", relabel)
    async with asyncio.timeout(LIMIT_SECONDS):
        await nft.taken.wait()
    return time.perf_counter() - start


def main(arguments: list[str]) -> None:
    """Go into a network namespace, and measure there."""
    if arguments[:1] != [INSIDE]:
        if reason := obstacle():
            sys.exit(f"no namespaces with nftables: {reason}")
        command = [*unshare(), sys.executable, "-m", "tests.bench.bench_policies", INSIDE, *arguments]
        os.execvp(command[0], command)
    policies, pods = (int(each) for each in [*arguments[1:], "100", "100"][:2])
    asyncio.run(measure(policies, pods))


if __name__ == "__main__":
    main(sys.argv[1:])
