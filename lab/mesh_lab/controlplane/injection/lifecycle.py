"""How a proxy begins and ends: its probes, and the hooks of its container."""

from __future__ import annotations

from collections.abc import Mapping

from mesh_lab.controlplane.injection.bootstrap import READY_PORT
from mesh_lab.controlplane.kube.client import Object
from mesh_lab.controlplane.world.podsettings import Draining, Readiness
from mesh_lab.controlplane.world.proxy import ProxyKind

# Istio probes every 15 s once a proxy has started; here it is more often, and a probe costs Envoy next to nothing.
_READY_PROBE: Object = {
    "httpGet": {"path": "/healthz/ready", "port": READY_PORT},
    "initialDelaySeconds": 0,
    "periodSeconds": 1,
    "timeoutSeconds": 3,
    "failureThreshold": 30,
}


def ready_probe(readiness: Readiness) -> Object:
    """The probe of a proxy's readiness, with what the pod or the mesh says of it."""
    own = {
        "initialDelaySeconds": readiness.initial_delay,
        "periodSeconds": readiness.period,
        "failureThreshold": readiness.failures,
    }
    return {**_READY_PROBE, **{name: value for name, value in own.items() if value is not None}}


STARTUP_PROBE: Object = {**_READY_PROBE, "failureThreshold": 600}

WAIT_FOR_READY: Object = {"exec": {"command": ["pilot-agent", "wait"]}}

# Local ports of connections that come from elsewhere: through the redirection, or straight to a gateway's listeners.
_CARRIED: Mapping[ProxyKind, str] = {"sidecar": "sport = :15001 or sport = :15006", "router": "sport < :15000"}
_DRAIN_SCRIPT = r"""
exec 3<>/dev/tcp/127.0.0.1/15009 &&
  printf 'POST /drain_listeners?graceful&skip_exit HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n' >&3 &&
  printf 'Content-Length: 0\r\n\r\n' >&3 &&
  cat <&3
end=$((SECONDS + {seconds}))
sleep {minimum}
while [ $SECONDS -lt $end ] && [ -n "$(ss -Htn state established '( {carried} )' || echo unknown)" ]; do
  sleep 0.1
done
"""


# Of a proxy that waits until it is idle: longer than any pod is given to end.
_EVER = 10**9


def drain(kind: ProxyKind, draining: Draining) -> Object:
    """Runs before Envoy is terminated, so that no request is lost that ends within the time for it.

    Envoy asks its clients to leave (`Connection: close`, GOAWAY) and goes on serving those that stay. During the first
    second other proxies still send requests, until each knows that this pod is ending. After it the pod may end as soon
    as no connection is left. Istio waits the whole time, unless EXIT_ON_ZERO_ACTIVE_CONNECTIONS says otherwise: then
    there is no such time, and MINIMUM_DRAIN_DURATION instead of the second.
    """
    parts = {
        "{seconds}": str(_EVER if draining.until_idle else draining.termination),
        "{minimum}": str(draining.minimum if draining.until_idle else 1),
        "{carried}": _CARRIED[kind],
    }
    script = _DRAIN_SCRIPT
    for name, text in parts.items():
        script = script.replace(name, text)
    return {"exec": {"command": ["bash", "-c", script]}}
