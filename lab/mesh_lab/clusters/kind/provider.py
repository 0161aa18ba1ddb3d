"""What kind's nodes run in: Docker or Podman, used by their command lines, which are nearly the same."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from mesh_lab.errors import LabError
from mesh_lab.programs import Program, ProgramFailedError, Programs, run

CLUSTER_LABEL = "io.x-k8s.kind.cluster"
_QUICK_SECONDS = 20.0
_START_SECONDS = 60.0
_NO_IMAGE = re.compile(r"no such (image|object)|image not known|failed to find image", re.IGNORECASE)
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}  # the machine's name in Docker, and that in images

DOCKER = Program(
    "docker",
    "kind's nodes are containers",
    "Install it: sudo apt-get install docker.io (Debian), sudo dnf install docker (Fedora), or Docker Desktop.\n"
    'Podman does, too: sudo apt-get install podman, and `provider = "podman"` under [kind] in lab.toml.',
)
PODMAN = Program(
    "podman",
    "kind's nodes are containers, and [kind] provider is podman",
    "Install it: sudo apt-get install podman (Debian, Ubuntu), sudo dnf install podman (Fedora).",
)
_PROGRAMS = {"docker": DOCKER, "podman": PODMAN}


@dataclass(frozen=True)
class Info:
    """The machine that containers run on; 0 or empty for what is not known. `local`: it is this one.

    `architecture` is named as in images: amd64, arm64. `store` is the directory that holds images and
    containers.
    """

    cores: int
    memory_mb: int
    cgroups: str
    local: bool
    architecture: str = ""
    store: str = ""


@dataclass(frozen=True)
class Node:
    """A container that is a node of a cluster, and its state: `running`, `exited`, `created`, `paused`, ..."""

    name: str
    state: str


@dataclass(frozen=True)
class Provider:
    """Docker or Podman, and where it is."""

    name: str
    path: str
    environ: Mapping[str, str]

    def info(self) -> Info:
        """Return the facts about the machine that containers run on.

        Raises:
            LabError: it does not answer; with its message and what that usually means.
        """
        text = self._ask("info", "--format", "{{json .}}")
        try:
            document = json.loads(text)
        except ValueError as error:
            raise LabError(f"`{self.name} info` gave no JSON: {text.strip()[:200]!r}") from error
        # Docker's client exits with 0 when the daemon does not answer, and puts the error into its output.
        if errors := document.get("ServerErrors"):
            raise LabError("\n".join([f"{self.name} does not answer", *errors]), hint=self._remedy("\n".join(errors)))
        host = document.get("host") or {}
        cores = document.get("NCPU") or host.get("cpus") or 0
        memory = document.get("MemTotal") or host.get("memTotal") or 0
        cgroups = document.get("CgroupVersion") or host.get("cgroupVersion") or ""
        desktop = "desktop" in str(document.get("OperatingSystem", "")).lower()
        local = sys.platform == "linux" and not desktop
        machine = str(document.get("Architecture") or host.get("arch") or "")
        architecture = _ARCHITECTURES.get(machine, machine)
        store = str(document.get("DockerRootDir") or (document.get("store") or {}).get("graphRoot") or "")
        return Info(int(cores), int(memory) // 2**20, str(cgroups).removeprefix("v"), local, architecture, store)

    def nodes(self, cluster: str) -> list[Node]:
        """Return the containers of a kind cluster, sorted by name, in whatever state they are.

        Raises:
            LabError: the provider does not answer.
        """
        which = ("--all", "--filter", f"label={CLUSTER_LABEL}={cluster}")
        text = self._ask("ps", *which, "--format", "{{.Names}}\t{{.State}}")
        rows = [line.split("\t") for line in text.splitlines() if "\t" in line]
        return sorted((Node(row[0], row[1].lower()) for row in rows), key=lambda node: node.name)

    def start(self, names: list[str]) -> None:
        """Start containers that were stopped.

        Raises:
            LabError: one does not start.
        """
        run([self.path, "start", *names], timeout=_START_SECONDS, environ=self.environ)

    def started(self, names: list[str]) -> dict[str, datetime]:
        """Return when running containers were started, by name.

        Raises:
            LabError: the provider does not answer.
        """
        text = self._ask("inspect", "--format", "{{.Name}}\t{{.State.StartedAt}}", *names)
        rows = [line.strip().split("\t") for line in text.splitlines() if "\t" in line]
        return {name.removeprefix("/"): moment for name, when in rows if (moment := _moment(when)) is not None}

    def journal(self, node: str, unit: str) -> str:
        """Return the end of a systemd unit's journal on a node, only the messages.

        Raises:
            LabError: it cannot be read.
        """
        command = [self.path, "exec", node, "journalctl", "--unit", unit, "--output", "cat", "--no-pager"]
        return run([*command, "--lines", "200"], timeout=_QUICK_SECONDS, environ=self.environ)

    def has_image(self, image: str, architecture: str = "") -> bool:
        """Return whether an image is in the local store, and for that architecture where one is given.

        Raises:
            LabError: the provider does not answer, which must not look like a missing image.
        """
        command = [self.path, "image", "inspect", "--format", "{{.Architecture}}", image]
        try:
            found = run(command, timeout=_QUICK_SECONDS, environ=self.environ).strip()
        except ProgramFailedError as error:
            if _NO_IMAGE.search(error.output):
                return False
            raise self._away(error) from error
        return not architecture or found == architecture

    def _ask(self, *arguments: str) -> str:
        try:
            return run([self.path, *arguments], timeout=_QUICK_SECONDS, environ=self.environ)
        except ProgramFailedError as error:
            raise self._away(error) from error

    def _away(self, error: ProgramFailedError) -> LabError:
        return LabError(f"{self.name} does not answer\n{error.message}", hint=self._remedy(error.output))

    def _remedy(self, output: str) -> str:
        if "permission denied" in output.lower():
            return "Your account may not use it: sudo usermod --append --groups docker $USER, then log in again."
        if self.name == "docker":
            return "Is it running? sudo systemctl start docker; or start Docker Desktop."
        return "Is it running? `podman machine start` on macOS and Windows."


def choose(wanted: str, programs: Programs) -> Provider:
    """Return the provider that the settings name, or with `auto` the one that kind would take: Docker, else Podman.

    Raises:
        LabError: there is none.
    """
    environ = programs.environment()
    asked = environ.get("KIND_EXPERIMENTAL_PROVIDER", "") if wanted == "auto" else wanted
    if asked and asked not in _PROGRAMS:
        raise LabError(
            f"KIND_EXPERIMENTAL_PROVIDER: the lab cannot use {asked!r}", hint=f"Known: {', '.join(_PROGRAMS)}."
        )
    found = asked or next((name for name in _PROGRAMS if programs.find(name)), "docker")
    path = programs.need(_PROGRAMS[found])
    return Provider(found, path, environ | {"KIND_EXPERIMENTAL_PROVIDER": found})


def _moment(text: str) -> datetime | None:
    """A moment as Docker (`2026-01-01T10:00:00.123456789Z`) or Podman (`2026-01-01 10:00:00.1 +0000 UTC`) writes it."""
    found = re.match(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.\d+)? ?(Z|[+-]\d\d:?\d\d)", text)
    return datetime.fromisoformat(f"{found[1]}T{found[2]}{found[3].replace('Z', '+00:00')}") if found else None
