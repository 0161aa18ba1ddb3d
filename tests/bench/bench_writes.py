"""What writes cost in processor time, here and in another checkout beside it.

    python tests/bench/bench_writes.py [CHECKOUT]

Each figure is the least of several rounds, which take turns between the two: processor time and not the clock, since
other programs share the machine. CHECKOUT has a `.venv` of its own. Prints figures and judges none.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson

from mesh_lab.kube import resources as kinds
from mesh_lab.kube.registry import Patch, PatchKind, Registry
from mesh_lab.kube.store import Store

ROUNDS = 5
PODS = 200


def pod(index: int) -> dict[str, Any]:
    """A pod of the size that injection makes."""
    container = {
        "image": "docker.io/istio/examples-bookinfo-reviews-v1:1.20.3",
        "ports": [{"containerPort": 9080}],
        "env": [{"name": f"VARIABLE_{i}", "value": "value"} for i in range(8)],
        "readinessProbe": {"httpGet": {"port": 9080, "path": "/ready"}},
        "resources": {"requests": {"cpu": "1m", "memory": "1Mi"}},
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }
    return {
        "metadata": {"name": f"pod-{index:05}", "namespace": "default", "labels": {"app": "reviews", "version": "v1"}},
        "spec": {
            "containers": [{"name": "reviews", **container}, {"name": "istio-proxy", **container}],
            "volumes": [{"name": "tmp", "emptyDir": {}}],
        },
    }


def conditions(ready: bool) -> dict[str, Any]:
    """A pod's status as its node writes it."""
    kinds_of = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
    statuses = [
        {"name": name, "ready": ready, "restartCount": 0, "image": "x", "imageID": "", "started": True}
        for name in ("reviews", "istio-proxy")
    ]
    return {
        "phase": "Running",
        "podIP": "10.244.0.9",
        "conditions": [{"type": kind, "status": str(ready)} for kind in kinds_of],
        "containerStatuses": statuses,
    }


async def each(one: Callable[[int], Awaitable[Any]]) -> float:
    """Microseconds of processor time a call."""
    start = time.process_time()
    for index in range(PODS):
        await one(index)
    return (time.process_time() - start) / PODS * 1e6


async def measure() -> dict[str, float]:
    """One round."""
    registry = Registry(Store())
    await registry.bootstrap()

    async def create(index: int) -> None:
        await registry.create(kinds.PODS, pod(index))

    def report(ready: bool) -> Callable[[int], Awaitable[Any]]:
        def change(obj: dict[str, Any]) -> dict[str, Any]:
            return {**obj, "status": conditions(ready)}

        return lambda index: registry.modify(kinds.PODS, f"pod-{index:05}", "default", change, subresource="status")

    async def label(index: int) -> None:
        patch = Patch(PatchKind.MERGE, {"metadata": {"labels": {"tier": "front"}}})
        await registry.patch(kinds.PODS, f"pod-{index:05}", "default", patch)

    async def set_data(index: int) -> None:
        data = {"metadata": {"name": "c", "namespace": "default"}, "data": {"n": str(index)}}
        await registry.update(kinds.CONFIGMAPS, data)

    await registry.create(kinds.CONFIGMAPS, {"metadata": {"name": "c", "namespace": "default"}})
    return {
        "create a pod": await each(create),
        "its first status": await each(report(False)),
        "another status": await each(report(True)),
        "a label by a patch": await each(label),
        "replace a ConfigMap": await each(set_data),
        "encode a pod (bytes)": len(orjson.dumps(registry.get(kinds.PODS, "pod-00000", "default"))),
    }


def rounds(python: Path) -> dict[str, float]:
    """One round in a process of the checkout that the interpreter belongs to."""
    done = subprocess.run([python, __file__, "--round"], capture_output=True, text=True, check=True, timeout=300)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main(others: list[str]) -> None:
    """Take turns, and print a line a figure."""
    pythons = {"here": Path(sys.executable), **{other: Path(other) / ".venv/bin/python" for other in others}}
    best: dict[str, dict[str, float]] = {where: {} for where in pythons}
    for _ in range(ROUNDS):
        for where, python in pythons.items():
            for what, value in rounds(python).items():
                best[where][what] = min(value, best[where].get(what, value))
    sys.stdout.write(f"{'microseconds of processor time':<34}" + "".join(f"{where:>20}" for where in pythons) + "\n")
    for what in best["here"]:
        sys.stdout.write(f"{what:<34}" + "".join(f"{best[where][what]:>20.0f}" for where in pythons) + "\n")


if __name__ == "__main__":
    if sys.argv[1:] == ["--round"]:
        sys.stdout.write(json.dumps(asyncio.run(measure())))
    else:
        main(sys.argv[1:])
