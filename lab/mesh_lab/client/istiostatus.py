"""What Istio's control plane says of its proxies: `/debug/syncz` and `/debug/configz` of every istiod.

`syncz` has for each proxy and each type of resource the nonce that was sent last and the one that was acknowledged
last. `configz` has the resources that istiod knows, with their versions. There is no way to ask istiod which resource
stands in which push (`config_distribution`, which did that, is gone). So a version counts as live when istiod knows it,
a settling time has passed in which its batching ends (PILOT_DEBOUNCE_AFTER, 100 ms), and every proxy has then
acknowledged the last it was sent, of every type. An istiod lists the proxies that are connected to it, and one that
has just started has none yet: so the proxies of all ready pods count, whether listed or not. Source:
pilot/pkg/xds/debug.go of Istio 1.28 to 1.31.

Where analysis is on, what it finds is written into the resource's status, and a resource without findings gets no
status at all: that there are none shows only by time. Istio analyses after a second without a change, or after
PILOT_ANALYSIS_INTERVAL in which there were changes. Source: `incluster.Controller.Run` and
PILOT_ANALYSIS_INTERVAL in pilot/pkg/features.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from mesh_lab.client.pods import PROXY_CONTAINER, has_proxy, is_ready, running_containers
from mesh_lab.meshkinds import KINDS

DEBUG_PORT = 15014
SYNCZ, CONFIGZ = "/debug/syncz", "/debug/configz"
PODS = "/api/v1/pods?fieldSelector=status.phase%3DRunning"
SETTLE_SECONDS = 1.0
ANALYSIS, ANALYSIS_INTERVAL = "PILOT_ENABLE_ANALYSIS", "PILOT_ANALYSIS_INTERVAL"
ANALYSIS_DEFAULT_SECONDS, ANALYSIS_SHORTEST_SECONDS = 10.0, 1.0
ANALYSIS_MARGIN_SECONDS = 2.0
"""The time for the analysis itself, one that is running before it, and the writing of the status."""
ABSENT = "its pod is ready, its stream is not open"
_TYPES = ("cluster", "listener", "route", "endpoint", "extensionconfig")
_ENVOYS = ("sidecar", "router", "waypoint")
_TRUE = ("1", "t", "T", "true", "TRUE", "True")
_OF_LISTENERS = frozenset(kind.name for kind in KINDS if kind.in_listeners)
_DRAIN_DEFAULT_SECONDS, _DRAIN_MARGIN_SECONDS = 45.0, 0.1
_DRAIN = re.compile(r"""drainDuration["']?:\s*["']?([0-9.a-z]+)""")
_PROXY_CONFIG, _PROXY_CONFIG_VARIABLE = "proxy.istio.io/config", "PROXY_CONFIG"
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class ProxyReport(msgspec.Struct, frozen=True):
    """How far a proxy is: types without an ACK, and types with a NACK and its reason."""

    proxy: str
    pending: tuple[str, ...] = ()
    errors: tuple[tuple[str, str], ...] = ()
    connected: bool = True

    @property
    def synced(self) -> bool:
        """Whether it has acknowledged the last it was sent, of every type."""
        return self.connected and not self.pending and not self.errors


def proxies(documents: Iterable[Any], pods: Iterable[Mapping[str, Any]]) -> list[ProxyReport]:
    """Return all proxies: those in the `syncz` documents of all istiods, and those of ready `pods` that are in none.

    `pods` are best asked for before the documents: a pod is ready only once its proxy has been connected.

    Raises:
        ValueError: a document is not a list of proxies.
    """
    reports = []
    for document in documents:
        if not isinstance(document, list):
            raise ValueError(f"{SYNCZ} answers something else than a list of proxies")  # noqa: TRY004 - it came by wire
        reports += [_report(entry) for entry in document if entry.get("proxy")]
    listed = {report.proxy for report in reports}
    names = {f"{p['metadata']['name']}.{p['metadata']['namespace']}" for p in pods if has_proxy(p) and is_ready(p)}
    reports += [ProxyReport(name, connected=False) for name in names - listed]
    return sorted(reports, key=lambda report: report.proxy)


def versions(documents: Iterable[Any], kind: str, namespace: str, name: str, group: str = "") -> list[str | None]:
    """The version of a resource that each istiod knows, None where it knows none; from the `configz` documents.

    Without `group`, that of any group of this kind's name.
    """
    return [_version(document, kind, namespace, name, group) for document in documents]


def findings(resource: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """What Istio's analysis has written into a resource's status, as severities (`error`) and texts.

    Nothing where that is of an earlier version of the resource.
    https://istio.io/latest/docs/reference/config/config-status/
    """
    if not is_analysed(resource):
        return ()
    return tuple(_finding(message) for message in resource["status"].get("validationMessages") or ())


def is_analysed(resource: Mapping[str, Any]) -> bool:
    """Whether the status that Istio has written is of the resource's present version."""
    seen = (resource.get("status") or {}).get("observedGeneration")
    return seen is not None and str(seen) == str(resource["metadata"].get("generation", ""))


def analysis_s(environ: Mapping[str, str]) -> float:
    """How long after a change an istiod with these variables has written its findings; 0 where it writes none."""
    if environ.get(ANALYSIS) not in _TRUE:
        return 0.0
    return _interval(environ.get(ANALYSIS_INTERVAL, "")) + ANALYSIS_MARGIN_SECONDS


def drain_s(kind: str, pods: Iterable[Mapping[str, Any]]) -> float:
    """For how long the proxies of `pods` may serve connections by the old version of a resource.

    Istio has a policy's rules in the listeners, which serve the connections that they have until these are drained.
    """
    if kind not in _OF_LISTENERS:
        return 0.0
    return max((_drain_of(pod) + _DRAIN_MARGIN_SECONDS for pod in pods if has_proxy(pod)), default=0.0)


def _drain_of(pod: Mapping[str, Any]) -> float:
    """`drainDuration` of a pod's own configuration: its annotation, or what injection has made of that and the mesh's.

    https://istio.io/latest/docs/reference/config/istio.mesh.v1alpha1/#ProxyConfig
    """
    variables = [v for c in running_containers(pod) if c["name"] == PROXY_CONTAINER for v in c.get("env") or ()]
    texts = [str((pod["metadata"].get("annotations") or {}).get(_PROXY_CONFIG, ""))]
    texts += [str(v.get("value", "")) for v in variables if v["name"] == _PROXY_CONFIG_VARIABLE]
    for text in texts:
        if (found := _DRAIN.search(text)) and (seconds := _duration(found[1])) is not None:
            return seconds
    return _DRAIN_DEFAULT_SECONDS


def _interval(text: str) -> float:
    """As Istio reads it: what is no duration, or too short, is the default."""
    seconds = _duration(text)
    return seconds if seconds is not None and seconds >= ANALYSIS_SHORTEST_SECONDS else ANALYSIS_DEFAULT_SECONDS


def _duration(text: str) -> float | None:
    """The seconds of a duration as Go writes it (`1m30s`), None for what is none."""
    parts = _DURATION.findall(text)
    whole = bool(text) and "".join(number + unit for number, unit in parts) == text
    return sum(float(number) * _UNITS[unit] for number, unit in parts) if whole else None


def known(documents: Iterable[Any]) -> set[tuple[int, str]]:
    """Every version that some istiod knows, of whatever resource, with the istiod's place among the documents."""
    return {
        (place, str(entry.get("metadata", {}).get("resourceVersion", "")))
        for place, document in enumerate(documents)
        for entry in (document if isinstance(document, list) else [])
    }


def _finding(message: Mapping[str, Any]) -> tuple[str, str]:
    kind = message.get("type") or {}
    severity = str(message.get("level", "")).lower() or "info"
    words = str(message.get("message") or message.get("documentationUrl") or kind.get("name") or "")
    return severity, f"{kind.get('code', '')} {words}".strip()


def _report(entry: Mapping[str, Any]) -> ProxyReport:
    # Newer istiods list every type under `resources`, with the last NACK; all of them have the older fields.
    resources: Mapping[str, Any] = entry.get("resources") or {}
    if resources:
        nonces = {_short(url): (state.get("sent"), state.get("acked")) for url, state in resources.items()}
        errors = tuple((_short(url), state["lastError"]) for url, state in resources.items() if state.get("lastError"))
    else:
        nonces = {kind: (entry.get(f"{kind}_sent"), entry.get(f"{kind}_acked")) for kind in _TYPES}
        errors = ()
    pending = {kind for kind, (sent, acked) in nonces.items() if sent and sent != acked}
    return ProxyReport(str(entry["proxy"]), tuple(sorted(pending | _awaited(entry))), errors)


def _awaited(entry: Mapping[str, Any]) -> set[str]:
    """The types that an Envoy that has just connected has not been sent yet: it wants clusters, then listeners.

    Routes and endpoints it asks for at the same time, so these are on their way by the time listeners are
    acknowledged. (A gRPC server without Envoy wants only listeners.)
    """
    if entry.get("proxy_type") not in _ENVOYS or _sent(entry, "listener"):
        return set()
    return {"listener"} if _sent(entry, "cluster") else {"cluster", "listener"}


def _sent(entry: Mapping[str, Any], kind: str) -> bool:
    return bool(entry.get(f"{kind}_sent"))


def _short(url: str) -> str:
    """`type.googleapis.com/envoy.config.cluster.v3.Cluster` is `Cluster`."""
    return url.rpartition(".")[2]


def _version(document: Any, kind: str, namespace: str, name: str, group: str) -> str | None:
    for entry in document if isinstance(document, list) else []:
        metadata = entry.get("metadata", {})
        of_group = not group or str(entry.get("apiVersion", group)).partition("/")[0] == group
        named = (entry.get("kind"), metadata.get("namespace", ""), metadata.get("name")) == (kind, namespace, name)
        if named and of_group:
            return str(metadata.get("resourceVersion", ""))
    return None
