"""How fast the registry and its store are, in this process and without HTTP.

    python tests/bench/bench_store.py

Prints figures and judges none: machines differ. Each create is decoded, defaulted, validated and journalled.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson

from mesh_lab.kube import resources as kinds
from mesh_lab.kube.registry import Registry, Watch
from mesh_lab.kube.store import Store

PODS = 1000
WATCHERS = 50
CONCURRENCY = 32


def pod(index: int) -> dict[str, Any]:
    """A pod of the size that injection makes."""
    container = {
        "image": "docker.io/istio/examples-bookinfo-reviews-v1:1.20.3",
        "ports": [{"containerPort": 9080}],
        "env": [{"name": f"VARIABLE_{i}", "value": "value"} for i in range(8)],
        "readinessProbe": {"httpGet": {"port": 9080, "path": "/ready"}},
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }
    return {
        "metadata": {"name": f"pod-{index:05}", "namespace": "default", "labels": {"app": "reviews", "version": "v1"}},
        "spec": {
            "containers": [{"name": "reviews", **container}, {"name": "istio-proxy", **container}],
            "volumes": [{"name": "tmp", "emptyDir": {}}],
        },
    }


async def rate(count: int, one: Callable[[int], Awaitable[Any]], concurrency: int) -> float:
    """Calls a second."""
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            await one(number)

    start = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(concurrency)))
    return count / (time.perf_counter() - start)


def milliseconds(call: Callable[[], Any], times: int = 20) -> float:
    """The median duration of a call."""
    durations = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        durations.append(time.perf_counter() - start)
    return statistics.median(durations) * 1000


async def fan_out(registry: Registry) -> float:
    """Milliseconds (median) from a write until the last of many watchers has the encoded event."""
    watches = [registry.watch(kinds.CONFIGMAPS, since=registry.revision) for _ in range(WATCHERS)]
    await registry.create(kinds.CONFIGMAPS, {"metadata": {"name": "c", "namespace": "default"}})

    async def next_line(watch: Watch) -> bytes:
        return (await anext(watch)).line

    for watch in watches:
        await next_line(watch)
    durations = []
    for number in range(50):
        waiting = [asyncio.create_task(next_line(watch)) for watch in watches]
        await asyncio.sleep(0)
        start = time.perf_counter()
        await registry.update(
            kinds.CONFIGMAPS, {"metadata": {"name": "c", "namespace": "default"}, "data": {"n": str(number)}}
        )
        await asyncio.gather(*waiting)
        durations.append(time.perf_counter() - start)
    return statistics.median(durations) * 1000


def memory() -> float:
    """Resident megabytes of this process."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def size(path: Path) -> float:
    """Megabytes of a file."""
    return path.stat().st_size / 2**20


async def main(path: Path) -> None:
    """Measure, and print a line a figure."""
    registry = Registry(Store.open(path))
    await registry.bootstrap()
    say("memory at idle", memory(), "MB")

    async def create(index: int) -> None:
        await registry.create(kinds.PODS, pod(index))

    say("creates, one after the other", await rate(PODS // 2, create, 1), "/s")

    async def create_more(index: int) -> None:
        await create(PODS // 2 + index)

    say(f"creates, {CONCURRENCY} at once", await rate(PODS // 2, create_more, CONCURRENCY), "/s")

    async def report(index: int) -> None:
        def ready(obj: dict[str, Any]) -> dict[str, Any]:
            obj["status"]["phase"] = "Running"
            return obj

        await registry.modify(kinds.PODS, f"pod-{index:05}", "default", ready, subresource="status")

    say(f"status updates, {CONCURRENCY} at once", await rate(PODS, report, CONCURRENCY), "/s")
    say(f"list of {PODS} pods", milliseconds(lambda: registry.list(kinds.PODS)), "ms")
    say(f"list of {PODS} pods by label", milliseconds(lambda: registry.list(kinds.PODS, labels="app=web")), "ms")
    say(f"list of {PODS} pods, encoded", milliseconds(lambda: orjson.dumps(registry.list(kinds.PODS))), "ms")
    say(f"a change to {WATCHERS} watchers", await fan_out(registry), "ms")
    say(f"memory with {PODS} pods", memory(), "MB")
    say("journal", size(path), "MB")
    await registry.store.close()
    start = time.perf_counter()
    again = Registry(Store.open(path))
    say(f"restart with {PODS} pods", (time.perf_counter() - start) * 1000, "ms")
    await again.store.close()


def say(what: str, value: float, unit: str) -> None:
    """One figure."""
    sys.stdout.write(f"{what:<36}{value:>10.1f} {unit}\n")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(main(Path(directory) / "journal.db"))
