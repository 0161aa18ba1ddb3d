"""Virtual machines of the embedded cluster: what they are to be, by the API, and how one is run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from mesh_lab.client import machinefiles
from mesh_lab.client.api import Api
from mesh_lab.client.connection import ApiError
from mesh_lab.client.objects import Reference
from mesh_lab.debugidentity import AUDIENCE
from mesh_lab.errors import LabError

_PATH = "/mesh-lab/machines"
_NETWORKING = "networking.istio.io/v1"
_IMAGE = "mesh-lab/machine"
_SYSTEM = "istio-system"
# Envoy reads its token once, so it is valid for as long as any lab is up, as a pod's is.
_YEAR = 365 * 24 * 60 * 60
# A machine may be silent for as long as it runs; sockets take no more than 24 days.
_EVER = 20 * 24 * 60 * 60.0
_NOT_FOUND = 404

Event = Mapping[str, Any]


@dataclass(frozen=True)
class Machine:
    """A machine to run. `files` are by the names that istioctl gives them; `wait` is for its proxy, in seconds."""

    namespace: str
    name: str
    files: Mapping[str, str]
    address: str = ""
    command: Sequence[str] = ()
    wait: float = 60.0
    env: Mapping[str, str] = field(default_factory=dict)


def files_for(api: Api, kind: str, namespace: str, name: str) -> tuple[dict[str, str], str]:
    """The files of a machine that a WorkloadGroup or WorkloadEntry describes, and the address that it states.

    Raises:
        LabError: there is no such object, or what it names is missing.
    """
    obj = api.find(Reference(_NETWORKING, kind, name, namespace))
    if obj is None:
        raise LabError(f"there is no {kind} {namespace}/{name}", hint=f"`kubectl -n {namespace} get {kind.lower()}`.")
    workload = machinefiles.workload_of(obj)
    mesh = _config_map(api, _SYSTEM, "istio").get("mesh", "")
    root = _config_map(api, namespace, "istio-ca-root-cert").get("root-cert.pem", "")
    token = _token(api, namespace, workload.service_account)
    address = "" if workload.is_group else str(obj["spec"].get("address", ""))
    return machinefiles.made(workload, mesh, root, token), address


def _config_map(api: Api, namespace: str, name: str) -> dict[str, str]:
    found = api.find(Reference("v1", "ConfigMap", name, namespace))
    if found is None:
        raise LabError(f"there is no ConfigMap {namespace}/{name}", hint="istiod makes it; is it up?")
    return found.get("data") or {}


def _token(api: Api, namespace: str, account: str) -> str:
    path = api.path("v1", "ServiceAccount", namespace, account) + "/token"
    request = {"spec": {"audiences": [AUDIENCE], "expirationSeconds": _YEAR}}
    try:
        return str(api.request("POST", path, body=request)["status"]["token"])
    except ApiError as error:
        if error.code != _NOT_FOUND:
            raise
        hint = f"`kubectl -n {namespace} create serviceaccount {account}` makes it."
        raise LabError(f"there is no service account {namespace}/{account}", hint=hint) from None


def run(api: Api, machine: Machine) -> Iterator[Event]:
    """Run a machine until its program ends, or the iteration does; gives its events as they come.

    The first is its `address`; then come `out` and `err`, its output; `exit` is its exit code.

    Raises:
        LabError: it cannot be run, or it has ended with the lab.
    """
    order = {
        "image": _IMAGE,
        "address": machine.address,
        "command": list(machine.command),
        "env": {"MACHINE_WAIT_SECONDS": f"{machine.wait:g}", **machine.env},
        "files": {machinefiles.PLACES[name]: text for name, text in machine.files.items()},
    }
    yield from _events(api, _path(machine.namespace, machine.name), order)


def execute(api: Api, namespace: str, name: str, command: Sequence[str]) -> Iterator[Event]:
    """Run a command in a machine; gives `out` and `err`, and its `exit`.

    Raises:
        LabError: the machine does not run, or ends meanwhile.
    """
    try:
        yield from _events(api, f"{_path(namespace, name)}/exec", {"command": list(command)})
    except ApiError as error:
        if error.code != _NOT_FOUND:
            raise
        raise LabError(f"no machine {namespace}/{name} runs", hint="`mesh-lab vm list` lists those that do.") from None


def running(api: Api) -> list[tuple[str, str, str]]:
    """Namespace, name and address of each machine that runs.

    Raises:
        LabError: the cluster has no machines.
    """
    items = api.request("GET", _PATH)["items"]
    return [(each["namespace"], each["name"], each["address"]) for each in items]


def _path(namespace: str, name: str) -> str:
    return f"{_PATH}/{quote(namespace, safe='')}/{quote(name, safe='')}"


def _events(api: Api, path: str, body: Mapping[str, Any]) -> Iterator[Event]:
    headers = {"Accept": "application/json", "Content-Type": "application/json"}
    with api.begin("POST", path, json.dumps(body).encode(), headers, timeout=_EVER) as answer:
        answer.raise_for_status()
        for line in answer.lines():
            event = json.loads(line)
            yield event
            if "exit" in event:
                return
    raise LabError("the machine has ended with the lab")
