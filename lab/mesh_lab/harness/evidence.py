"""What is kept when a test fails: the namespace as it was, its proxies' configuration, its logs."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from mesh_lab.client.api import UnknownKindError
from mesh_lab.client.objects import Object
from mesh_lab.client.pods import PROXY_CONTAINER, running_containers
from mesh_lab.errors import LabError
from mesh_lab.harness.mesh import Mesh
from mesh_lab.harness.proxies import Proxy
from mesh_lab.meshkinds import CONSUL, GATEWAY_API, ISTIO

KINDS = (
    ("apps/v1", "Deployment"),
    ("v1", "Pod"),
    ("v1", "Service"),
    ("discovery.k8s.io/v1", "EndpointSlice"),
    ("v1", "Event"),
    *((kind.api_version, kind.name) for kind in ISTIO),
)
LOG_LINES = 500
NOTHING: Mapping[str, str] = {}
FAILURES = (LabError, LookupError, OSError)


def collect(mesh: Mesh, reports: Path, test: str, more: Mapping[str, str] = NOTHING) -> str:
    """Write everything to files under `reports`; gives a summary for the test's report.

    `more` are texts of the test's own, by their files' names.

    What cannot be collected is named in the summary: it must not hide the failure itself.
    """
    folder = reports / "failures" / re.sub(r"[^\w.-]+", "-", test).strip("-")[-150:]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, text in more.items():
        (folder / name).write_text(f"{text}\n", encoding="utf-8")
    summary = [f"namespace {mesh.namespace}; details in {folder}"]
    objects = _objects(mesh, summary)
    with (folder / "objects.yaml").open("w", encoding="utf-8") as file:
        yaml.safe_dump_all(objects, file, sort_keys=False)
    for obj in objects:
        if obj["kind"] == "Pod":
            summary.append(_pod_line(obj))
            _pod_files(mesh, obj, folder, summary)
        elif obj["kind"] == "Event" and obj.get("type") == "Warning":
            summary.append(f"event: {obj['involvedObject']['name']}: {obj.get('reason')}: {obj.get('message')}")
    _proxies_file(mesh, folder, summary)
    return "\n".join(summary)


def _proxies_file(mesh: Mesh, folder: Path, summary: list[str]) -> None:
    """How far the control plane has come with each of the namespace's proxies; those that lag are in the summary."""
    try:
        proxies = [each for each in mesh.syncz().proxies if each.proxy.endswith(f".{mesh.namespace}")]
    except FAILURES as error:
        summary.append(f"no state of the proxies: {error}")
        return
    told = [f"{each.proxy}: in sync" if each.synced else str(each) for each in proxies]
    (folder / "proxies.txt").write_text("".join(f"{line}\n" for line in told), encoding="utf-8")
    summary.extend(f"proxy {each}" for each in proxies if not each.synced)


def _objects(mesh: Mesh, summary: list[str]) -> list[Object]:
    found: list[Object] = []
    for api_version, kind in (*KINDS, *_installed(mesh, summary)):
        try:
            found += mesh.api.list_all(api_version, kind, mesh.namespace)
        except FAILURES as error:
            summary.append(f"no {kind}s: {error}")
    return found


def _installed(mesh: Mesh, summary: list[str]) -> Iterator[tuple[str, str]]:
    """The kinds of other vocabularies than Istio's, of which the cluster has those whose definitions are applied."""
    for kind in (*GATEWAY_API, *CONSUL):
        try:
            yield mesh.api.served(kind.group, kind.name, kind.versions), kind.name
        except UnknownKindError:
            continue
        except FAILURES as error:
            summary.append(f"no {kind.name}s: {error}")


def _pod_line(pod: Object) -> str:
    status, names = pod.get("status", {}), {container["name"] for container in running_containers(pod)}
    states = [
        f"{one['name']}: {'ready' if one.get('ready') else one.get('state')}"
        for one in (*status.get("containerStatuses", []), *status.get("initContainerStatuses", []))
        if one["name"] in names or not one.get("ready")
    ]
    return f"pod {pod['metadata']['name']}: {status.get('phase')}; {'; '.join(states)}"


def _pod_files(mesh: Mesh, pod: Object, folder: Path, summary: list[str]) -> None:
    name = pod["metadata"]["name"]
    containers = [container["name"] for container in running_containers(pod)]
    for container in containers:
        try:
            lines = mesh.logs(name, container).splitlines()[-LOG_LINES:]
            (folder / f"{name}.{container}.log").write_text("\n".join(lines) + "\n", encoding="utf-8")
        except FAILURES as error:
            summary.append(f"no log of {name}/{container}: {error}")
    if PROXY_CONTAINER not in containers:
        return
    proxy = Proxy(mesh.api, mesh.namespace, pod)
    for what, path in (("config.json", "/config_dump?include_eds"), ("stats.txt", "/stats")):
        try:
            (folder / f"{name}.{what}").write_text(proxy.admin(path), encoding="utf-8")
        except FAILURES as error:
            summary.append(f"no {what} of {name}: {error}")
