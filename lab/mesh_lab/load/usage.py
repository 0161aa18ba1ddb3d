"""What the mesh's proxies use of processor and memory during a run: what the kubelets tell, asked now and then.

A kubelet's `/stats/summary` is asked through the API server's node proxy. It needs no more than the kubeconfig, where
its user has the right `get` of `nodes/proxy`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any

from mesh_lab.client.api import Api
from mesh_lab.client.connection import ApiError
from mesh_lab.client.pods import PROXY_CONTAINER
from mesh_lab.errors import LabError

LEAST_SECONDS = 2.0
MOST_SAMPLES = 120
_NANO = 1e9
_REQUEST_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Reading:
    """What a proxy had used at a moment (Unix time): processor time since its start (seconds), memory (bytes)."""

    at: float
    cpu: float
    memory: int


@dataclass(frozen=True, slots=True)
class Sample:
    """What a proxy used until a moment, since the reading before: processors (1.0 is one of them), memory (bytes)."""

    at: float
    cores: float
    memory: int


def readings(summary: Mapping[str, Any]) -> Iterator[tuple[str, Reading]]:
    """The proxies of a kubelet's summary, by `NAMESPACE/POD`. Numbers that it leaves out make no reading."""
    for pod in summary.get("pods") or ():
        for container in pod.get("containers") or ():
            if container.get("name") != PROXY_CONTAINER:
                continue
            cpu, memory = container.get("cpu") or {}, container.get("memory") or {}
            used = memory.get("rssBytes", memory.get("workingSetBytes"))
            if "usageCoreNanoSeconds" not in cpu or used is None:
                continue
            at = datetime.fromisoformat(cpu["time"]).timestamp()
            name = f"{pod['podRef']['namespace']}/{pod['podRef']['name']}"
            yield name, Reading(at, cpu["usageCoreNanoSeconds"] / _NANO, int(used))


def samples(taken: Sequence[Reading]) -> Iterator[Sample]:
    """What was used between readings. A kubelet that has measured nothing new tells its old numbers again."""
    for before, after in pairwise(taken):
        if after.at > before.at and after.cpu >= before.cpu:  # a proxy that was restarted begins at 0
            yield Sample(after.at, (after.cpu - before.cpu) / (after.at - before.at), after.memory)


@dataclass
class Usage:
    """Readings from `start` to `stop`, every `seconds`. `missing` says why there are none, or not of all nodes."""

    api: Api
    seconds: float
    missing: list[str] = field(default_factory=list)
    _taken: dict[str, list[Reading]] = field(default_factory=dict)
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to ask."""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> dict[str, list[Sample]]:
        """Stop; what each proxy used, by `NAMESPACE/POD`."""
        self._over.set()
        if self._thread is not None:
            self._thread.join(_REQUEST_SECONDS)
        return {name: found for name, taken in sorted(self._taken.items()) if (found := list(samples(taken)))}

    def _run(self) -> None:
        try:
            nodes = [node["metadata"]["name"] for node in self.api.list_all("v1", "Node")]
        except LabError as error:
            self.missing.append(f"nodes: {error.message}")
            return
        while nodes and not self._over.is_set():
            begun = time.monotonic()
            nodes = [node for node in nodes if self._ask(node)]
            self._over.wait(max(0.0, self.seconds - (time.monotonic() - begun)))

    def _ask(self, node: str) -> bool:
        """Whether the node is to be asked again."""
        path = f"{self.api.path('v1', 'Node', name=node)}/proxy/stats/summary"
        try:
            summary = self.api.request("GET", path, timeout=_REQUEST_SECONDS)
        except ApiError as error:
            if not error.code:
                return True  # it did not answer this time
            self.missing.append(f"node {node}: {error.message}")
            return False
        for name, reading in readings(summary):
            self._taken.setdefault(name, []).append(reading)
        return True


def pause(duration: float) -> float:
    """The seconds between readings of a run of `duration` seconds."""
    return max(LEAST_SECONDS, duration / MOST_SAMPLES)
