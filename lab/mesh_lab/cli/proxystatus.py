"""`mesh-lab proxy-status`: what istioctl's command of that name tells, without istioctl."""

from __future__ import annotations

import msgspec

from mesh_lab.cli.access import require_running
from mesh_lab.cli.console import chosen, say, table
from mesh_lab.client.api import Api
from mesh_lab.client.connection import ApiError
from mesh_lab.client.proxystatus import ProxyStatus, as_builtins, proxies
from mesh_lab.errors import LabError
from mesh_lab.settings import Lab


def show(lab: Lab, pod: str, namespace: str, output: str) -> None:
    """Print how far each proxy is.

    Raises:
        LabError: the format is not known, the lab is not up, the control plane does not answer, or there is no such
            proxy.
        SystemExit: with code 1, when a proxy is behind with something, or has rejected something.
    """
    printer = chosen(_PRINTERS, output)
    require_running(lab)
    with Api(lab.kubeconfig) as api:
        try:
            found = [each for each in proxies(api) if _is_meant(each, pod, namespace)]
        except ApiError as error:
            raise LabError(f"the cluster's API: {error.message}") from error
    if pod and not found:
        raise LabError(f"no proxy of a pod {pod} is connected", hint="`mesh-lab proxy-status` lists those that are.")
    printer(found)
    if not all(each.synced for each in found):
        raise SystemExit(1)


def _is_meant(proxy: ProxyStatus, pod: str, namespace: str) -> bool:
    name, _, place = proxy.name.rpartition(".")
    return (not pod or pod in (name, proxy.name)) and (not namespace or place == namespace)


def _text(found: list[ProxyStatus]) -> None:
    rows = [
        (each.name, each.cluster, each.istiod, each.version, f"{len(each.types)} ({_types(each)})") for each in found
    ]
    table(("NAME", "CLUSTER", "ISTIOD", "VERSION", "SUBSCRIBED TYPES"), rows)
    for each in found:
        for part in each.types:
            if part.error:
                say(f"{each.name}: {part.type}: {part.error}")


def _types(proxy: ProxyStatus) -> str:
    """The types, those that are not in sync with how they are."""
    return ",".join(each.type if each.status == "SYNCED" else f"{each.type}: {each.status}" for each in proxy.types)


def _json(found: list[ProxyStatus]) -> None:
    say(msgspec.json.format(msgspec.json.encode(as_builtins(found))).decode())


_PRINTERS = {"text": _text, "json": _json}
