"""A pod's Envoy, read through its administration interface."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from mesh_lab.client.api import Api
from mesh_lab.client.objects import Object
from mesh_lab.client.pods import PROXY_CONTAINER, running_containers
from mesh_lab.harness.control import control_port

METRICS_PORT = 15090
ADMIN_SECONDS = 30.0


class Proxy:
    """The Envoy beside (or in) a pod."""

    def __init__(self, api: Api, namespace: str, pod: Object) -> None:
        self._api = api
        self._namespace = namespace
        self._pod = pod
        self.name = str(pod["metadata"]["name"])

    def metrics(self) -> str:
        """What Prometheus gets from the pod, on the port that it asks.

        Raises:
            ApiError: there is no Envoy in the pod.
        """
        path = f"/api/v1/namespaces/{self._namespace}/pods/{self.name}:{METRICS_PORT}/proxy/stats/prometheus"
        return str(self._api.request("GET", path))

    def admin(self, path: str, *, post: bool = False) -> str:
        """What the administration interface answers.

        Raises:
            ApiError, CommandFailed: there is no Envoy in the pod, or it answers with an error.
        """
        port = control_port(self._api, self._namespace, self._pod)
        if port is not None and self._is_running(port.container):
            return port.ask("/admin", {"path": path, "post": post}, ADMIN_SECONDS)
        container, program = self._way_in()
        if program == "pilot-agent":
            command = [program, "request", "POST" if post else "GET", path.lstrip("/")]
        else:
            command = [program, "admin", path, *(["--post"] if post else [])]
        return self._api.kubectl("exec", "-n", self._namespace, self.name, "-c", container, "--", *command)

    def _way_in(self) -> tuple[str, str]:
        """A container of the pod, and its program that reaches Envoy: Istio's image and the lab's have one."""
        images = {c["name"]: c["image"] for c in running_containers(self._pod)}
        for name, image in images.items():
            if "mesh-lab/" in image and self._is_running(name):
                return name, "mesh-lab-app"
        return PROXY_CONTAINER, "pilot-agent"

    def _is_running(self, container: str) -> bool:
        """Whether it ran when the pod was looked at; a sidecar does so before the pod's own containers are started."""
        status = self._pod.get("status", {})
        states = (*status.get("containerStatuses", ()), *status.get("initContainerStatuses", ()))
        found = [state.get("state", {}) for state in states if state["name"] == container]
        return not found or any("running" in state for state in found)

    def stats(self, pattern: str = "") -> dict[str, int]:
        """Counters and gauges whose name matches a regular expression, by name."""
        text = self.admin(f"/stats?filter={quote(pattern, safe='')}" if pattern else "/stats")
        return parse_stats(text)

    @contextmanager
    def counting(self, pattern: str) -> Iterator[dict[str, int]]:
        """By how much counters grow during a `with` block: the mapping is filled at its end."""
        before = self.stats(pattern)
        growth: dict[str, int] = {}
        yield growth
        for name, value in self.stats(pattern).items():
            if value != before.get(name, 0):
                growth[name] = value - before.get(name, 0)

    def config_dump(self) -> Any:
        """Envoy's whole configuration."""
        return json.loads(self.admin("/config_dump?include_eds"))


def parse_stats(text: str) -> dict[str, int]:
    """The numbers in Envoy's plain /stats; histograms and texts are left out."""
    found = {}
    for line in text.splitlines():
        name, _, value = line.rpartition(": ")
        if name and re.fullmatch(r"-?\d+", value):
            found[name] = int(value)
    return found


def total(stats: dict[str, int], *parts: str) -> int:
    """The sum of all statistics whose name contains every one of these parts."""
    return sum(value for name, value in stats.items() if all(part in name for part in parts))
