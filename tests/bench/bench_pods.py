"""What starting a pod costs: CPU of the whole node for each, and the time until all are ready.

    python -m tests.bench.bench_pods [PODS]

Makes its own namespaces, as root or as an ordinary user. A pod here is a sandbox with its network, one container whose
command does nothing, the service account's volume, its events and the writes of its status: all that a lab adds to
the programs themselves. Prints figures and judges none.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mesh_lab.kube.resources import PODS
from tests.unit.kube.node.isolated import IsolatedNode
from tests.unit.kube.node.pods import container, pod_object

_INSIDE = "inside"
_ROUNDS = 4


def cpu_seconds() -> float:
    """What all processes of this PID namespace have used, those that ended and were reaped by one of them included."""
    running = 0.0
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                running += int((process / "schedstat").read_text().split()[0]) / 1e9
            except (OSError, ValueError):
                continue
    return running


async def start(node: IsolatedNode, name: str, count: int) -> tuple[float, float]:
    """Create pods at once and wait until all are ready: wall and CPU seconds."""
    waiting = {f"{name}-{number}" for number in range(count)}
    wall, cpu = time.perf_counter(), cpu_seconds()
    with node.registry.watch(PODS, since=node.registry.revision) as watch:
        async with asyncio.TaskGroup() as group:
            for pod in waiting:
                group.create_task(node.create(pod_object(pod, container("main", "sleep", "1000"))))
        async for event in watch:
            conditions = event.object["status"].get("conditions", ())
            if any(c["type"] == "Ready" and c["status"] == "True" for c in conditions):
                waiting.discard(event.object["metadata"]["name"])
            if not waiting:
                break
    return time.perf_counter() - wall, cpu_seconds() - cpu


async def measure(state: Path, count: int) -> None:
    """Several rounds on one node: the first pays for what is imported and cached once."""
    node = IsolatedNode(state)
    await node.begin()
    for round_ in range(_ROUNDS):
        wall, cpu = await start(node, f"round{round_}", count)
        each = f"{1000 * wall / count:.1f} ms each, CPU {1000 * cpu / count:.1f} ms each"
        print(f"{count} pods ready in {1000 * wall:.0f} ms: {each}")  # noqa: T201
    await node.end()


def main() -> int:
    """Measure in namespaces of our own: this program runs itself again in there."""
    arguments = sys.argv[1:]
    if arguments[:1] == [_INSIDE]:
        asyncio.run(measure(Path(arguments[1]), int(arguments[2])))
        return 0
    count = arguments[0] if arguments else "20"
    user = [] if os.getuid() == 0 else ["--user", "--map-root-user", "--map-auto"]
    namespaces = ["unshare", *user, "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]
    with tempfile.TemporaryDirectory() as state:
        program = [sys.executable, "-m", "tests.bench.bench_pods", _INSIDE, state, count]
        return subprocess.run([*namespaces, *program], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
