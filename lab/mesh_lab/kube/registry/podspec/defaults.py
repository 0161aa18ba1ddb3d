"""Defaults of a pod's spec."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_MODE = 0o644
_PROJECTED_TOKEN_SECONDS = 3600
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_PROBE_DEFAULTS = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
_SPEC_DEFAULTS = {
    "dnsPolicy": "ClusterFirst",
    "restartPolicy": "Always",
    "schedulerName": "default-scheduler",
    "terminationGracePeriodSeconds": 30,
}
_WITH_MODE = ("secret", "configMap", "downwardAPI", "projected")


def fill_pod_spec(spec: dict[str, Any]) -> None:
    """Defaults of a pod's spec, in a template as well."""
    for field, value in _SPEC_DEFAULTS.items():
        spec.setdefault(field, value)
    spec.setdefault("securityContext", {})
    # Two names of one field: the second is deprecated and still written.
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for container in containers_of(spec):
        _fill_container(container, host_network=bool(spec.get("hostNetwork")))
    for volume in spec.get("volumes") or ():
        _fill_volume(volume)


def containers_of(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All containers of a pod's spec."""
    for field in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(field) or ()


def _fill_container(container: dict[str, Any], *, host_network: bool) -> None:
    container.setdefault("imagePullPolicy", _pull_policy(container.get("image", "")))
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    container.setdefault("resources", {})
    for port in container.get("ports") or ():
        port.setdefault("protocol", "TCP")
        if host_network and "containerPort" in port:
            port.setdefault("hostPort", port["containerPort"])
    for variable in container.get("env") or ():
        _fill_field_ref(variable.get("valueFrom") or {})
    for field in _PROBES:
        if (probe := container.get(field)) is not None:
            _fill_probe(probe)
    for handler in (container.get("lifecycle") or {}).values():
        if isinstance(handler, dict):
            _fill_http_get(handler)


def _pull_policy(image: str) -> str:
    """Images that may change under their tag are pulled anew: those tagged `latest`, by word or by omission."""
    if "@" in image:
        return "IfNotPresent"
    tag = image.rpartition("/")[2].partition(":")[2]
    return "Always" if tag in ("", "latest") else "IfNotPresent"


def _fill_probe(probe: dict[str, Any]) -> None:
    for field, value in _PROBE_DEFAULTS.items():
        if not probe.get(field):
            probe[field] = value
    _fill_http_get(probe)
    if (grpc := probe.get("grpc")) is not None:
        grpc.setdefault("service", "")


def _fill_http_get(handler: dict[str, Any]) -> None:
    if (get := handler.get("httpGet")) is not None:
        get["path"] = get.get("path") or "/"
        get["scheme"] = get.get("scheme") or "HTTP"


def _fill_field_ref(source: dict[str, Any]) -> None:
    if (ref := source.get("fieldRef")) is not None:
        ref["apiVersion"] = ref.get("apiVersion") or "v1"


def _fill_volume(volume: dict[str, Any]) -> None:
    if len(volume) == 1 and "name" in volume:
        volume["emptyDir"] = {}
    for field in _WITH_MODE:
        if (source := volume.get(field)) is not None:
            source.setdefault("defaultMode", _MODE)
    if (host_path := volume.get("hostPath")) is not None:
        host_path.setdefault("type", "")
    for item in (volume.get("downwardAPI") or {}).get("items") or ():
        _fill_field_ref(item)
    for projected in (volume.get("projected") or {}).get("sources") or ():
        for item in (projected.get("downwardAPI") or {}).get("items") or ():
            _fill_field_ref(item)
        if (token := projected.get("serviceAccountToken")) is not None:
            token.setdefault("expirationSeconds", _PROJECTED_TOKEN_SECONDS)
