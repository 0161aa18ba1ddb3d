"""`mesh-lab-app PROGRAM ...`: the entry point of the image `mesh-lab/apps`. A program is imported when asked for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import NamedTuple


class Program(NamedTuple):
    """Where a program is (`module:function`), what it does, and whether it speaks TLS itself.

    `tls_option` is how the option begins without which it does not.
    """

    place: str
    what: str
    tls: bool = False
    tls_option: str = ""

    def speaks_tls(self, arguments: Sequence[str]) -> bool:
        """Whether it needs Python's ssl when it is run with these arguments."""
        return self.tls and (not self.tls_option or any(each.startswith(self.tls_option) for each in arguments))


PROGRAMS = {
    "echo": Program(
        "mesh_lab.apps.echo.program:main",
        "a server that reports what it received, and fails, delays or holds as requested",
        tls=True,
    ),
    "traffic": Program(
        "mesh_lab.apps.traffic.idle:main",
        "an idle server: the pod from which `send` is run",
        tls=True,
        tls_option="--c",  # --control, which argparse lets one shorten
    ),
    "send": Program("mesh_lab.apps.traffic.send:main", "send requests and print every result", tls=True),
    "admin": Program(
        "mesh_lab.apps.traffic.admin:main", "ask the administration interface of the pod's Envoy", tls=True
    ),
    "capture": Program(
        "mesh_lab.apps.traffic.capture:main", "look at the packets of the pod's network (needs NET_RAW)", tls=True
    ),
    "bookinfo": Program(
        "mesh_lab.apps.bookinfo.__main__:main", "a service of Bookinfo: productpage, details, reviews, ratings"
    ),
    "config-reloader": Program(
        "mesh_lab.apps.samples.configreloader:main", "asks Prometheus to read a changed configuration"
    ),
    "coredns": Program("mesh_lab.apps.samples.coredns:main", "the part of CoreDNS that a conformance suite deploys"),
    "echo-basic": Program(
        "mesh_lab.apps.samples.echobasic.program:main", "the servers of the Gateway API's conformance suite", tls=True
    ),
    "ext-authz": Program("mesh_lab.apps.samples.extauthz:main", "Istio's sample of an external authorizer"),
    "fortio": Program(
        "mesh_lab.apps.samples.fortio.program:main", "the load generator of Istio's samples, and its server"
    ),
    "go-httpbin": Program(
        "mesh_lab.apps.samples.httpbin.program:go_httpbin", "Istio's sample httpbin, as mccutchen/go-httpbin"
    ),
    "gunicorn": Program(
        "mesh_lab.apps.samples.httpbin.program:gunicorn", "Istio's sample httpbin, as kennethreitz/httpbin"
    ),
    "health": Program("mesh_lab.apps.samples.health:main", "Istio's sample health-check"),
    "helloworld": Program("mesh_lab.apps.samples.helloworld:main", "Istio's sample helloworld"),
    "istio-client": Program(
        "mesh_lab.apps.samples.istioclient:main", "the client of Istio's tests, for pods of its echo"
    ),
    "istio-echo": Program("mesh_lab.apps.samples.istioecho:main", "Istio's sample grpc-echo", tls=True),
    "jaeger": Program("mesh_lab.apps.tracestore.program:jaeger", "a store of traces, in the place of Jaeger"),
    "jwt-server": Program("mesh_lab.apps.samples.jwtserver:main", "Istio's sample of a server of JWT's keys", tls=True),
    "nginx": Program(
        "mesh_lab.apps.samples.nginx.program:main", "the part of nginx that Istio's tasks on TLS configure", tls=True
    ),
    "otelcol": Program("mesh_lab.apps.samples.otel.service:main", "Istio's sample of an OpenTelemetry collector"),
    "ratelimit": Program("mesh_lab.apps.samples.ratelimit.program:main", "envoyproxy/ratelimit, counting in memory"),
    "redis-server": Program("mesh_lab.apps.samples.redis:main", "a few of redis' commands, in memory"),
    "skywalking-oap": Program(
        "mesh_lab.apps.tracestore.program:skywalking_oap", "a store of traces, in the place of SkyWalking's server"
    ),
    "skywalking-ui": Program("mesh_lab.apps.tracestore.program:skywalking_ui", "the page of that store"),
    "squid": Program("mesh_lab.apps.samples.squid:main", "the forward proxy of Istio's task on HTTPS proxies"),
    "tcp-echo": Program("mesh_lab.apps.samples.tcpecho:main", "Istio's sample tcp-echo"),
    "tornado": Program("mesh_lab.apps.samples.tornado:main", "Istio's sample websockets"),
    "zipkin": Program("mesh_lab.apps.tracestore.program:zipkin", "a store of traces, in the place of Zipkin"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a program; returns its exit code (2 for wrong usage)."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] in PROGRAMS:
        module, _, function = PROGRAMS[given[0]].place.partition(":")
        program: Callable[[Sequence[str]], int] = getattr(import_module(module), function)
        return program(given[1:])
    wants_help = given[:1] in (["-h"], ["--help"])
    stream = sys.stdout if wants_help else sys.stderr
    if given and not wants_help:
        stream.write(f"mesh-lab-app: there is no program {given[0]!r}\n")
    stream.write("usage: mesh-lab-app PROGRAM [OPTIONS] (each takes --help)\n")
    stream.writelines(f"  {name:10} {known.what}\n" for name, known in PROGRAMS.items())
    return 0 if wants_help else 2


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in PROGRAMS and not PROGRAMS[sys.argv[1]].speaks_tls(sys.argv[2:]):
        # asyncio loads ssl where there is one, which is 1.5 MB in each pod. TLS is the sidecar's here.
        sys.modules.setdefault("ssl", None)  # type: ignore[arg-type]
    sys.exit(main())
