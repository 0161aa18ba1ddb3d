"""Images: programs that the lab knows by name.

There is no registry to pull from and nothing to unpack: an image is an entry of a table, and its program is on the host
already. Tags and registries are ignored, so that published manifests apply as they are.
"""

from __future__ import annotations

import difflib
import hashlib
import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from shutil import which

from mesh_lab.kube.config import ImageEntry
from mesh_lab.kube.node.client import package_root
from mesh_lab.kube.node.runtime import TOOLS
from mesh_lab.kube.node.sampleimages import HOSTS, REFUSED, SAMPLE_IMAGES, SHELLS

# Where Bookinfo is published: on docker.io/istio; Istio's main branch of August 2026 names registry.istio.io/release.
_PUBLISHED = ("istio", "release")
# Those of the mesh itself, of which there are also daily builds.
_MESH_PUBLISHED = (*_PUBLISHED, "testing", "istio-testing")
_PROXY_USER = 1337
# Istio's image begins with its agent; where the injector has made the container, its arguments are Envoy's.
_AGENT_OR_ENVOY = (
    f'if [ "$1" = proxy ]; then exec {shlex.quote(sys.executable)} -m mesh_lab.controlplane.injection.agent "$@"; fi; '
    'exec envoy "$@"'
)
# What tasks call in pods, and not every host has: files that a bare interpreter runs.
_WHERE_LACKING = {
    "nc": "mesh_lab/apps/tools/netcat.py",
    "nslookup": "mesh_lab/apps/tools/nslookup.py",
}
_SYSTEM_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")


@dataclass(frozen=True)
class Image:
    """A program under an image's name: `entrypoint` and `arguments` are Docker's ENTRYPOINT and CMD.

    `commands` are further programs of `mesh-lab-app`, by the names under which containers of the image find them;
    `files` are those that a bare interpreter runs, by their files below `mesh_lab/apps`. `shown` are directories of the
    host that containers see beside its programs, read-only, and `hidden` those below them that are empty there.
    """

    name: str
    entrypoint: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    user: int = 0
    working_dir: str = "/"
    commands: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    shown: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()

    @property
    def identity(self) -> str:
        """`status.containerStatuses[].imageID`: stable for the same program."""
        content = repr((self.name, self.entrypoint, self.arguments, sorted(self.env.items()), self.user, self.shown))
        return f"{self.name}@sha256:{hashlib.sha256(content.encode()).hexdigest()}"


class UnknownImageError(Exception):
    """There is no program of that name; the message lists the known ones."""


class Images:
    """The lab's images and those of `lab.toml`, which win."""

    def __init__(self, own: Mapping[str, ImageEntry]) -> None:
        self._table = {image.name: image for image in _builtin()}
        for name, entry in own.items():
            key = repository(name)
            self._table[key] = _own(key, entry)

    def find(self, reference: str) -> Image:
        """Return the image that a container's `image` field names.

        Raises:
            UnknownImageError: the lab has no such program.
        """
        image = self._table.get(repository(reference))
        if image is None and (host := HOSTS.get(repository(reference))):
            raise UnknownImageError(
                f'the lab runs the host\'s program "{host.program}" for image "{reference}", and the host has none in '
                f"{' or '.join(_SYSTEM_PATH)}: put one there and bring the lab up again"
            )
        if image is None and (why := REFUSED.get(repository(reference))):
            raise UnknownImageError(f'the lab has no program for image "{reference}": {why}')
        if image is None:
            name, known = repository(reference), ", ".join(sorted(self._table))
            # First, since events are cut at 1,024 characters, and there are many names.
            alike = difflib.get_close_matches(name, self._table)
            meant = f" (is {' or '.join(alike)} meant?)" if alike else ""
            raise UnknownImageError(
                f'the lab has no program for image "{reference}"{meant}; '
                f'lab.toml adds one: [images."{name}"] command = ["..."]. It knows {known}'
            )
        return image

    def all(self) -> list[Image]:
        """Return all images, sorted by name."""
        return [self._table[name] for name in sorted(self._table)]


def _own(name: str, entry: ImageEntry) -> Image:
    """An image of lab.toml. A virtual environment is entered as its `activate` does."""
    env = dict(entry.env)
    if entry.python:
        path = env.get("PATH") or search_path()
        env = {"VIRTUAL_ENV": entry.python, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1", **env}
        env["PATH"] = f"{entry.python}/bin:{path}"
    place = entry.path or "/"
    return Image(
        name,
        entry.command,
        entry.args,
        env,
        entry.user or 0,
        working_dir=place,
        shown=entry.shown,
        hidden=entry.hidden,
    )


def repository(reference: str) -> str:
    """Return an image's name without registry, tag and digest: `docker.io/library/busybox:1.36` is `busybox`."""
    name = reference.partition("@")[0]
    parts = name.split("/")
    parts[-1] = parts[-1].partition(":")[0]
    if len(parts) > 1 and (parts[0] == "localhost" or "." in parts[0] or ":" in parts[0]):
        parts = parts[1:]
    if len(parts) == 2 and parts[0] == "library":
        parts = parts[1:]
    return "/".join(parts)


def search_path() -> str:
    """PATH in a container that does not set it: the lab's tools, its Python environment, the host's programs."""
    return ":".join(dict.fromkeys((TOOLS, str(Path(sys.executable).parent), *_SYSTEM_PATH)))


@cache
def tools() -> dict[str, str]:
    """The scripts that each container finds in TOOLS, by name."""
    python = shlex.quote(sys.executable)
    lacking = {name: file for name, file in _WHERE_LACKING.items() if not which(name, path=":".join(_SYSTEM_PATH))}
    return {
        **_run_bare({**lacking, "pilot-agent": "mesh_lab/apps/pilot_agent.py"}),
        "mesh-lab-app": f'#!/bin/sh\nexec {python} -m mesh_lab.apps "$@"\n',
        "envoy": f'#!/bin/sh\nexec {shlex.quote(_envoy())} "$@"\n',
    }


def scripts(image: Image) -> dict[str, str]:
    """The scripts that a container of the image finds in TOOLS, by name."""
    python = shlex.quote(sys.executable)
    own = {
        name: f'#!/bin/sh\nexec {python} -m mesh_lab.apps {program} "$@"\n' for name, program in image.commands.items()
    }
    return {**tools(), **own, **_run_bare({name: f"mesh_lab/apps/{file}" for name, file in image.files.items()})}


def _run_bare(files: Mapping[str, str]) -> dict[str, str]:
    """Scripts that run files of the package without its environment, by name: they start at once."""
    python, root = shlex.quote(sys.executable), Path(package_root())
    return {
        name: f'#!/bin/sh\nexec {python} -I -S {shlex.quote(str(root / file))} "$@"\n' for name, file in files.items()
    }


def _builtin() -> Iterator[Image]:
    # Containers may not write beside the lab's modules, and what they log is to be seen at once.
    python = {"PYTHONPATH": package_root(), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}
    run = (sys.executable, "-m")
    bookinfo = (*run, "mesh_lab.apps.bookinfo")
    for published in _PUBLISHED:
        for service in ("productpage", "details", "ratings"):
            yield Image(f"{published}/examples-bookinfo-{service}-v1", (*bookinfo, service), env=python)
        for version in ("v1", "v2", "v3"):
            env = {**python, "SERVICE_VERSION": version}
            yield Image(f"{published}/examples-bookinfo-reviews-{version}", (*bookinfo, "reviews"), env=env)
        v2 = {**python, "SERVICE_VERSION": "v2"}
        yield Image(f"{published}/examples-bookinfo-ratings-v2", (*bookinfo, "ratings"), env=v2)
        yield Image(f"{published}/examples-bookinfo-mongodb", (*bookinfo, "mongodb"), env=python)
    yield Image("mesh-lab/apps", (), (sys.executable,), env=python)
    yield Image("mesh-lab/istiod", (*run, "mesh_lab.controlplane"), env=python)
    # What `istioctl install` and Istio's charts name, by the registry that they are told of.
    for published in _MESH_PUBLISHED:
        yield Image(f"{published}/pilot", (*run, "mesh_lab.controlplane"), env=python, user=_PROXY_USER)
    yield Image("mesh-lab/machine", (*run, "mesh_lab.controlplane.injection.machine"), env=python)
    yield Image("mesh-lab/locust", (*run, "locust"), env=python)
    yield Image("mesh-lab/proxyv2", (_envoy(),))
    for published in _MESH_PUBLISHED:
        yield Image(f"{published}/proxyv2", ("sh", "-c", _AGENT_OR_ENVOY, "proxyv2"), env=python)
    for name in SHELLS:
        yield Image(name, (), ("sh",))
    yield Image("python", (), ("python3",))
    for sample in SAMPLE_IMAGES:
        for name in sample.names:
            command = (*run, "mesh_lab.apps", sample.program)
            env = {**python, **sample.env}
            yield Image(name, command, sample.arguments, env, commands=sample.commands, files=sample.files)
    for name, (program, module) in HOSTS.items():
        if installed := which(program, path=search_path()):
            yield Image(name, (*run, module, installed), env=python)
    if which("curl"):
        yield Image("curlimages/curl", ("curl",))  # the client of Istio's tasks, samples/curl


def _envoy() -> str:
    """The real binary: the script of that name in the environment would start a Python first, only to exec it."""
    package = find_spec("envoy")
    for place in (package.submodule_search_locations or []) if package else []:
        binary = Path(place) / "_bin" / "envoy"
        if binary.is_file():
            return str(binary)
    return "envoy"
