"""The images of Istio's samples beside Bookinfo: which published name runs which of the lab's programs.

A row is an image. `program` is one of `mesh-lab-app`; `commands` are the names by which manifests and tasks call
programs of the image, wherever it has them: `/usr/bin/fortio` is found as `fortio`. `files` are commands that a bare
interpreter runs, by their files below `mesh_lab/apps`: probes do not wait for imports.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


@dataclass(frozen=True)
class SampleImage:
    """An image's names, its entry point among the programs of `mesh-lab-app`, and Docker's CMD and ENV."""

    names: tuple[str, ...]
    program: str
    arguments: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    commands: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)


def _published(name: str, *older: str) -> tuple[str, ...]:
    """The names of one of Istio's own images: on docker.io/istio, and registry.istio.io/release since August 2026."""
    return (f"istio/{name}", f"release/{name}", *older)


def _testing(name: str) -> tuple[str, ...]:
    """The names of one of the images of Istio's tests: on gcr.io/istio-testing, later registry.istio.io/testing."""
    return (f"istio-testing/{name}", f"testing/{name}")


SAMPLE_IMAGES = (
    SampleImage(("mccutchen/go-httpbin",), "go-httpbin", commands={"go-httpbin": "go-httpbin"}),
    SampleImage(
        ("kennethreitz/httpbin",), "gunicorn", ("-b", "0.0.0.0:80", "httpbin:app"), {}, {"gunicorn": "gunicorn"}
    ),
    SampleImage(_published("examples-helloworld-v1"), "helloworld", env={"SERVICE_VERSION": "v1"}),
    SampleImage(_published("examples-helloworld-v2"), "helloworld", env={"SERVICE_VERSION": "v2"}),
    SampleImage(_published("tcp-echo-server"), "tcp-echo"),
    SampleImage(_published("health"), "health"),
    SampleImage(_testing("app"), "istio-echo"),
    SampleImage(("coredns/coredns",), "coredns"),
    SampleImage(("gateway-api/echo-basic", "k8s-staging-gateway-api/echo-basic"), "echo-basic"),
    SampleImage(
        ("gateway-api/echo-advanced", "k8s-staging-gateway-api/echo-advanced"),
        "istio-echo",
        commands={"client": "istio-client"},
    ),
    SampleImage(_testing("ext-authz"), "ext-authz"),
    SampleImage(_testing("jwt-server"), "jwt-server"),
    SampleImage(("envoyproxy/ratelimit",), "ratelimit", commands={"ratelimit": "ratelimit"}),
    SampleImage(("hiroakis/tornado-websocket-example",), "tornado"),
    SampleImage(("otel/opentelemetry-collector", "otel/opentelemetry-collector-contrib"), "otelcol"),
    SampleImage(("prometheus-operator/prometheus-config-reloader",), "config-reloader"),
    SampleImage(("sameersbn/squid", "ubuntu/squid"), "squid", commands={"squid": "squid"}),
    SampleImage(("redis",), "redis-server", commands={"redis-server": "redis-server"}),
    SampleImage(("nginx",), "nginx", ("-g", "daemon off;"), commands={"nginx": "nginx"}),
    SampleImage(("jaegertracing/all-in-one", "jaegertracing/jaeger"), "jaeger"),
    SampleImage(("openzipkin/zipkin", "openzipkin/zipkin-slim"), "zipkin"),
    SampleImage(("apache/skywalking-oap-server",), "skywalking-oap", files={"swctl": "tools/swctl.py"}),
    SampleImage(("apache/skywalking-ui",), "skywalking-ui"),
    SampleImage(("fortio/fortio",), "fortio", ("server",), commands={"fortio": "fortio"}),
)


class HostImage(NamedTuple):
    """An image that is a program of the host's, and the module of the lab that starts it."""

    program: str
    module: str


HOSTS = {"prom/prometheus": HostImage("prometheus", "mesh_lab.prometheus")}
"""Images that are a program of the host's, where it has that."""

REFUSED = {
    **dict.fromkeys(
        _published("examples-bookinfo-mysqldb"), "it is MySQL, which the lab has not; ratings-v2 can have MongoDB"
    ),
    **dict.fromkeys(
        _published("examples-bookinfo-details-v2"), "it asks the internet, to which the lab has no way; use details-v1"
    ),
    "grafana/grafana": "it is Grafana, which the lab has not; Prometheus has a page with graphs of its own",
    "kiali/kiali": "it is Kiali, which the lab has not; `istioctl analyze` and `proxy-status` tell of the mesh",
    "grafana/loki": "it is Loki, which the lab has not; the OpenTelemetry collector writes what it gets to its own log",
}
"""Images of Istio's samples and addons that the lab has no program for, and why."""

SHELLS = ("alpine", "busybox", "debian", "ubuntu", "governmentpaas/curl-ssl", "tutum/curl")
"""Images from which only a shell and the usual programs are wanted; these are the host's."""
