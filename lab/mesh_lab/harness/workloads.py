"""The workloads that tests deploy, as Kubernetes objects."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mesh_lab.client.objects import Object

IMAGE_PREFIX = os.environ.get("MESH_LAB_IMAGE_PREFIX", "")  # the registry that a cluster pulls the lab's images from
IMAGE = f"{IMAGE_PREFIX}mesh-lab/apps"
HTTP_PORT, HTTP2_PORT, TCP_PORT = 8080, 8081, 9000
CAPTURE_PORT = 8099

# The port by which the harness drives a pod (mesh_lab.harness.control); the sidecar does not intercept it.
CONTROL_PORT, CONTROL_PORT_NAME = 8090, "control"
TOKEN_VARIABLE = "CONTROL_TOKEN"
EXCLUDED_PORTS = "traffic.sidecar.istio.io/excludeInboundPorts"
_TOKEN = secrets.token_hex(16)  # of this run: the pods' control ports accept only orders that carry it

PROXY_CONFIG_ANNOTATION = "proxy.istio.io/config"
DRAW_HEADER = "x-mesh-lab-draw"
"""The lab's control plane draws the splits of a client's requests by this header, where they have it."""
DRAIN_SECONDS = 1
PROXY_CONFIG = f"""\
drainDuration: {DRAIN_SECONDS}s
proxyMetadata: {{ISTIO_META_MESH_LAB_DRAW_HEADER: {DRAW_HEADER}}}
proxyStatsMatcher:
  inclusionRegexps: ['.*upstream_rq.*', '.*upstream_cx.*', '.*outlier_detection.*']
"""
"""Istio's `MeshConfig.ProxyConfig` for a pod: by default Istio keeps few of Envoy's statistics, and an old policy stays
in force for open connections until they have drained, for up to 45 s."""


@dataclass(frozen=True, slots=True)
class Images:
    """The images of what tests deploy. Both hold the command `mesh-lab-app`."""

    echo: str = IMAGE
    client: str = IMAGE


@dataclass(frozen=True, slots=True)
class Template:
    """What is the same for every workload of a test: pods' image, labels, annotations, service account."""

    name: str
    image: str = IMAGE
    service_account: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def account(self) -> str:
        """The service account: of the workload's own name unless another is asked for."""
        return self.service_account or self.name


def service_account(name: str) -> Object:
    """A service account."""
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}


def echo_service(name: str, *, headless: bool = False) -> Object:
    """A service in front of every version of an echo server: HTTP on 80, HTTP/2 on 81, TCP on 9000."""
    ports = [("http", 80, HTTP_PORT), ("http2", 81, HTTP2_PORT), ("tcp", TCP_PORT, TCP_PORT)]
    spec: Object = {
        "selector": {"app": name},
        "ports": [{"name": port, "port": number, "targetPort": target} for port, number, target in ports],
    }
    if headless:
        spec["clusterIP"] = "None"
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "labels": {"app": name}}, "spec": spec}


def echo_deployment(template: Template, version: str, replicas: int = 1) -> Object:
    """One version of an echo server."""
    ports = ("--port", str(HTTP_PORT), "--port", str(HTTP2_PORT), "--tcp", str(TCP_PORT))
    container = _controlled(_container("echo", template.image, ["echo", *ports], HTTP_PORT))
    container["env"] += [{"name": "VERSION", "value": version}, {"name": "SERVICE", "value": template.name}]
    labels = {"app": template.name, "version": version}
    return _deployment(f"{template.name}-{version}", labels, template, [container], replicas)


def client_deployment(template: Template, *, capture: bool = False) -> Object:
    """A traffic client; with `capture` a container beside it that may look at the packets of the pod's network."""
    serving = ["traffic", "--serve", "--port", str(HTTP_PORT)]
    containers = [_controlled(_container("client", template.image, serving, HTTP_PORT))]
    if capture:
        containers.append(_capture_container(template.image))
    return _deployment(template.name, {"app": template.name}, template, containers, 1)


def _capture_container(image: str) -> Object:
    """Runs `mesh-lab-app capture` when asked to; any cluster that grants NET_RAW runs it."""
    container = _container("capture", image, ["traffic", "--serve", "--port", str(CAPTURE_PORT)], CAPTURE_PORT)
    container["securityContext"] = {"runAsUser": 0, "capabilities": {"add": ["NET_RAW"]}}
    return container


def _container(name: str, image: str, program: Sequence[str], port: int) -> Object:
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["mesh-lab-app", *program],
        "ports": [{"containerPort": port}],
        # On a busy machine an answer may take longer than the usual second: no reason to take the endpoint away.
        "readinessProbe": {"httpGet": {"path": "/health", "port": port}, "periodSeconds": 1, "timeoutSeconds": 5},
    }


def _controlled(container: Object) -> Object:
    """The container with a control port."""
    return {
        **container,
        "command": [*container["command"], "--control", str(CONTROL_PORT)],
        "env": [{"name": TOKEN_VARIABLE, "value": _TOKEN}],
        "ports": [*container["ports"], {"name": CONTROL_PORT_NAME, "containerPort": CONTROL_PORT}],
    }


def _deployment(
    name: str, labels: Mapping[str, str], template: Template, containers: Sequence[Object], replicas: int
) -> Object:
    pod_labels = {**labels, **template.labels}
    annotations = {PROXY_CONFIG_ANNOTATION: PROXY_CONFIG, EXCLUDED_PORTS: str(CONTROL_PORT), **template.annotations}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": dict(labels)},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": dict(labels)},
            "template": {
                "metadata": {"labels": pod_labels, "annotations": annotations},
                "spec": {
                    "serviceAccountName": template.account,
                    "terminationGracePeriodSeconds": 5,
                    "containers": list(containers),
                },
            },
        },
    }
