"""The specification of a container or a command for the runtime: pure functions from the pod to a message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from mesh_lab.kube.config import KubeConfig
from mesh_lab.kube.node.env import ConfigProblem, expand
from mesh_lab.kube.node.images import Image, scripts, search_path
from mesh_lab.kube.node.runtime import TOOLS
from mesh_lab.kube.objects.containers import Container
from mesh_lab.kube.objects.pods import Pod
from mesh_lab.kube.registry.syntax import quantities

_T = TypeVar("_T")

DISK = 1 << 30  # bytes that a container may write into its root, unless its limit of ephemeral-storage says otherwise

# <linux/capability.h>, in the order of their numbers.
_LINUX_CAPABILITIES = """
    CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
    NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN
    SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE
    MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE
"""
_CAPABILITIES = {name: number for number, name in enumerate(_LINUX_CAPABILITIES.split())}
# What Docker and containerd leave to a container.
_LEFT_BY_DOCKER = """
    CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL
    AUDIT_WRITE
"""
_USUAL_CAPABILITIES = frozenset(_LEFT_BY_DOCKER.split())
# With these, root in a container could remount, reopen or reload its way into the host, which Kubernetes leaves to the
# cluster's owner and a lab on a developer's machine must not.
_REACH_THE_HOST = """
    SYS_ADMIN SYS_MODULE SYS_RAWIO SYS_BOOT SYS_TIME DAC_READ_SEARCH LINUX_IMMUTABLE MAC_ADMIN MAC_OVERRIDE SYSLOG BPF
    PERFMON AUDIT_CONTROL
"""
_NEVER = frozenset(_REACH_THE_HOST.split())


@dataclass(frozen=True)
class Mount:
    """A bind: `sub_path` inside of the host's `source` appears at `target`."""

    source: str
    target: str
    read_only: bool = False
    sub_path: str = ""


@dataclass(frozen=True)
class Identity:
    """The user that a container runs as."""

    uid: int
    gid: int
    home: str


def command(container: Container, image: Image, variables: Mapping[str, str]) -> list[str]:
    """Return the program and its arguments; `command` replaces the image's entry point and drops its arguments.

    Raises:
        ConfigProblem: there is none.
    """
    program = [expand(part, variables) for part in container.command] or list(image.entrypoint)
    usual = [] if container.command else list(image.arguments)
    arguments = [expand(part, variables) for part in container.args] or usual
    if not program + arguments:
        raise ConfigProblem(f'no command specified: image "{image.name}" has none, and the container gives none')
    return program + arguments


def identity(pod: Pod, container: Container, image: Image) -> Identity:
    """Return the user of a container: from its own security context, the pod's, or the image.

    Raises:
        ConfigProblem: it would be root and must not.
    """
    own, shared = container.security_context, pod.spec.security_context
    uid = _first(own.run_as_user, shared.run_as_user, image.user)
    if uid == 0 and _first(own.run_as_non_root, shared.run_as_non_root, False):
        what = "container has runAsNonRoot and image will run as root"
        if own.run_as_user == 0 or shared.run_as_user == 0:
            what = "container's runAsUser breaks non-root policy"
        name = f"{pod.metadata.name}_{pod.metadata.namespace}({pod.metadata.uid})"
        raise ConfigProblem(f'{what} (pod: "{name}", container: {container.name})')
    known_gid, home = _users().get(uid, (0, "/"))
    return Identity(uid, _first(own.run_as_group, shared.run_as_group, known_gid), home)


def complete(variables: Mapping[str, str], who: Identity, hostname: str) -> dict[str, str]:
    """Return the environment with what a container runtime adds to it."""
    return {"PATH": search_path(), "HOSTNAME": hostname, "HOME": who.home, **variables}


def process_spec(
    pod: Pod, container: Container, image: Image, argv: list[str], env: Mapping[str, str]
) -> dict[str, Any]:
    """Return a start or exec request's `spec`, without the root file system."""
    who = identity(pod, container, image)
    shared = pod.spec.security_context
    groups = [*shared.supplemental_groups, *([shared.fs_group] if shared.fs_group is not None else [])]
    return {
        "argv": argv,
        "env": dict(env),
        "cwd": container.working_dir or image.working_dir,
        "uid": who.uid,
        "gid": who.gid,
        "groups": groups,
        "capabilities": capabilities(container),
        "no_new_privileges": not container.security_context.allow_privilege_escalation,
    }


def root_spec(
    container: Container, image: Image, mounts: list[Mount], shm: str, files: Mapping[str, str]
) -> dict[str, Any]:
    """Return a start request's `spec.root`."""
    limit = container.resources.limits.get("ephemeral-storage")
    # Before the container's own mounts: those may stand within.
    mounts = [*(Mount(place, place, read_only=True) for place in image.shown), *mounts]
    programs = {f"{TOOLS}/{name}": [text, 0o755] for name, text in scripts(image).items()}
    return {
        "size": DISK if limit is None else int(quantities.parse(str(limit))),
        "read_only": container.security_context.read_only_root_filesystem,
        "privileged": container.security_context.privileged,
        "shm": shm,
        "hidden": list(image.hidden),
        "files": {**programs, **{path: [text, 0o644] for path, text in files.items()}},
        "mounts": [
            {"source": m.source, "target": m.target, "read_only": m.read_only, "sub_path": m.sub_path} for m in mounts
        ],
    }


def with_bundle(mounts: list[Mount], bundle: tuple[str, str]) -> list[Mount]:
    """Add the bind of the authorities' bundle, unless one of the container's own mounts covers its place."""
    source, target = bundle
    covered = any(f"{target}/".startswith(f"{mount.target.rstrip('/')}/") for mount in mounts)
    return mounts if covered else [*mounts, Mount(source, target, read_only=True)]


def capabilities(container: Container) -> list[int]:
    """Return the numbers of a container's capabilities.

    They are the default ones with its changes, all of them when it is privileged, and in no case one that reaches the
    host.

    Raises:
        ConfigProblem: one that Linux does not know.
    """
    context = container.security_context
    added, dropped = (_names(names) for names in (context.capabilities.add, context.capabilities.drop))
    kept = frozenset() if "ALL" in dropped else _USUAL_CAPABILITIES - dropped
    kept |= frozenset(_CAPABILITIES) - dropped if "ALL" in added else added
    if context.privileged:
        kept = frozenset(_CAPABILITIES)
    return sorted(_CAPABILITIES[name] for name in kept - _NEVER)


def _names(names: tuple[str, ...]) -> frozenset[str]:
    plain = frozenset(name.upper().removeprefix("CAP_") for name in names)
    if unknown := plain - _CAPABILITIES.keys() - {"ALL"}:
        raise ConfigProblem(f"unknown capabilities: {', '.join(sorted(unknown))}")
    return plain


def hostname(pod: Pod) -> str:
    """Return the pod's host name: at most 63 characters, as Linux allows."""
    return pod.spec.hostname or pod.metadata.name[:63].rstrip("-.")


def etc_files(pod: Pod, addresses: Sequence[str], config: KubeConfig) -> dict[str, str]:
    """Return the files of /etc that the node manages."""
    return {
        "/etc/hostname": hostname(pod) + "\n",
        "/etc/hosts": _hosts(pod, addresses, config.cluster_domain),
        "/etc/resolv.conf": _resolv_conf(pod, config),
    }


def _hosts(pod: Pod, addresses: Sequence[str], domain: str) -> str:
    name = hostname(pod)
    if pod.spec.subdomain:
        name = f"{name}.{pod.spec.subdomain}.{pod.metadata.namespace}.svc.{domain}\t{name}"
    lines = [
        "# Kubernetes-managed hosts file.",
        "127.0.0.1\tlocalhost",
        "::1\tlocalhost ip6-localhost ip6-loopback",
        *(f"{address}\t{name}" for address in addresses),
    ]
    if pod.spec.host_aliases:
        lines += ["", "# Entries added by HostAliases."]
        lines += [f"{alias.ip}\t" + "\t".join(alias.hostnames) for alias in pod.spec.host_aliases]
    return "\n".join(lines) + "\n"


def _resolv_conf(pod: Pod, config: KubeConfig) -> str:
    """The pod's `resolv.conf`. `Default`, the node's own resolver, is the cluster's without its search domains.

    There is no other in the lab. https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/
    """
    servers: list[str] = []
    searches: list[str] = []
    options: dict[str, str] = {}
    if pod.spec.dns_policy != "None":
        servers = [config.dns_address]
    if pod.spec.dns_policy.startswith("ClusterFirst"):
        domain = config.cluster_domain
        searches = [f"{pod.metadata.namespace}.svc.{domain}", f"svc.{domain}", domain]
        options = {"ndots": "5"}
    extra = pod.spec.dns_config
    searches += extra.searches
    options |= {option.name: option.value for option in extra.options}
    lines = [f"search {' '.join(dict.fromkeys(searches))}"] if searches else []
    lines += [f"nameserver {server}" for server in dict.fromkeys((*servers, *extra.nameservers))]
    if options:
        lines.append("options " + " ".join(f"{name}:{value}" if value else name for name, value in options.items()))
    return "\n".join(lines) + "\n"


def _first(*values: _T | None) -> _T:
    return next(value for value in values if value is not None)


@cache
def _users() -> dict[int, tuple[int, str]]:
    """Map each uid to its (gid, home) in the host's passwd file, which containers have a copy of."""
    entries = (line.split(":") for line in Path("/etc/passwd").read_text(errors="replace").splitlines())
    return {int(e[2]): (int(e[3]), e[5] or "/") for e in reversed(list(entries)) if len(e) >= 7 and e[2].isdigit()}
