"""How the kube process gets namespaces of its own, and what prevents that on this machine."""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import stat
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import mesh_lab as package

CAP_NET_ADMIN = 12
CAP_SYS_ADMIN = 21
PACKAGES = {
    "nft": "nftables",
    "ip": "iproute2",
    "unshare": "util-linux",
    "setpriv": "util-linux",
    "newuidmap": "uidmap",
    "newgidmap": "uidmap",
}
"""Programs that the lab runs, and the Debian package of each."""

_ROOTLESS_PROGRAMS = ("newuidmap", "newgidmap")
SYSTEM_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
_NEEDED_SUBORDINATE_IDS = 65536
_FIRST_SUBORDINATE_ID = 100000


@dataclass(frozen=True)
class Obstacle:
    """Something that keeps the lab from running: what it is, and what a person can do about it."""

    what: str
    remedy: str


def rootless() -> bool:
    """Whether a user namespace is needed: without the rights to make network and mount namespaces right away."""
    if os.geteuid() != 0:
        return True
    capabilities = _effective_capabilities()
    return not all(capabilities >> wanted & 1 for wanted in (CAP_NET_ADMIN, CAP_SYS_ADMIN))


def isolate(command: list[str], *, user_namespace: bool) -> list[str]:
    """`command` as pid 1 of network, mount and PID namespaces that end with the process that starts it.

    A user namespace maps the caller to root and all its subordinate ids, so that uid 1337 is a real user in it.
    """
    users = ["--user", "--map-root-user", "--map-auto"] if user_namespace else []
    spaces = ["--net", "--mount", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc"]
    return ["setpriv", "--pdeathsig", "KILL", "--", "unshare", *users, *spaces, "--", *command]


def search_path(environ: Mapping[str, str]) -> str:
    """PATH with the system's directories, which an ordinary user's often lacks (`/usr/sbin` has nft)."""
    own = [entry for entry in environ.get("PATH", "").split(os.pathsep) if entry]
    return os.pathsep.join([*own, *(entry for entry in SYSTEM_PATH if entry not in own)])


def missing_programs(path: str, *, user_namespace: bool) -> list[str]:
    """Which of the programs that are needed are not on `path`."""
    needed = [name for name in PACKAGES if user_namespace or name not in _ROOTLESS_PROGRAMS]
    return [name for name in needed if shutil.which(name, path=path) is None]


def install_command(programs: list[str]) -> str:
    """The one command that installs what `programs` need, for this distribution's package manager."""
    packages = sorted({PACKAGES[name] for name in programs})
    managers = {
        "apt-get": "apt-get install -y {}",
        "dnf": "dnf install -y {}",
        "pacman": "pacman -S --needed {}",
        "zypper": "zypper install -y {}",
        "apk": "apk add {}",
    }
    renamed = {"dnf": {"uidmap": "shadow-utils", "iproute2": "iproute"}, "pacman": {"uidmap": "shadow"}}
    for manager, command in managers.items():
        if shutil.which(manager):
            names = [renamed.get(manager, {}).get(package, package) for package in packages]
            return "sudo " + command.format(" ".join(names))
    return f"install the packages {' '.join(packages)}"


def obstacles(root: Path = Path("/"), environ: Mapping[str, str] = os.environ) -> list[Obstacle]:
    """Return everything that is known to keep the lab from its namespaces here; empty when it should work."""
    user_namespace = rootless()
    found = []
    if missing := missing_programs(search_path(environ), user_namespace=user_namespace):
        found.append(Obstacle(f"missing programs: {', '.join(missing)}", install_command(missing)))
    if user_namespace:
        found += [o for o in (_forbidden(root), _subordinate_ids(root)) if o]
    if closed := _closed(_samples()):
        found.append(
            Obstacle(
                f"containers run as users of their own, which may not read {', '.join(closed)}",
                f"chmod -R go+rX {' '.join(shlex.quote(place) for place in closed)}",
            )
        )
    return found


def shared_directories() -> list[str]:
    """What containers see of the lab: its Python, its virtual environment, its package; not the checkout around it.

    The checkout has the lab's keys and its kubeconfig in it.
    """
    return sorted(_samples())


def _samples() -> dict[str, tuple[str, ...]]:
    """For each of the shared directories some files that a strict umask would have closed with all the others."""
    own = str(Path(package.__file__).parent)
    return {
        sys.base_prefix: (os.path.realpath(sys.executable), sysconfig.get_path("stdlib"), os.__file__),
        sys.prefix: (f"{sys.prefix}/bin", sysconfig.get_path("purelib"), sysconfig.get_path("purelib") + "/msgspec"),
        own: (package.__file__, f"{own}/kube", f"{own}/kube/main.py"),
    }


def _closed(samples: Mapping[str, Iterable[str]]) -> list[str]:
    """The directories that others than their owner cannot read, or not all of whose samples."""

    def is_closed(path: str) -> bool:
        try:
            mode = Path(path).stat().st_mode
        except OSError:
            return False  # this installation is laid out differently
        wanted = stat.S_IROTH | (stat.S_IXOTH if stat.S_ISDIR(mode) else 0)
        return mode & wanted != wanted

    return [place for place, files in samples.items() if any(map(is_closed, (place, *files)))]


_SWITCHES = (
    (
        "proc/sys/user/max_user_namespaces",
        "0",
        "user namespaces are switched off (user.max_user_namespaces is 0)",
        "sudo sysctl -w user.max_user_namespaces=15000   # to keep it: the same line in /etc/sysctl.d/90-mesh-lab.conf",
    ),
    (
        "proc/sys/kernel/unprivileged_userns_clone",
        "0",
        "user namespaces are reserved for root (kernel.unprivileged_userns_clone is 0: hardened kernels)",
        "sudo sysctl -w kernel.unprivileged_userns_clone=1",
    ),
    (
        "proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "AppArmor keeps programs without a profile from using user namespaces (Ubuntu 23.10 and later)",
        "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
    ),
)


def _forbidden(root: Path) -> Obstacle | None:
    for file, bad, what, remedy in _SWITCHES:
        if _text(root / file).strip() == bad:
            return Obstacle(what, remedy)
    return None


def _subordinate_ids(root: Path) -> Obstacle | None:
    uid = os.geteuid()
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:
        user = str(uid)
    for file in ("etc/subuid", "etc/subgid"):
        ranges = [int(count) for owner, _, count in _ranges(root / file) if owner in (user, str(uid))]
        if max(ranges, default=0) < _NEEDED_SUBORDINATE_IDS:
            free = _free_range(root)
            return Obstacle(
                f"{user} has no range of {_NEEDED_SUBORDINATE_IDS} subordinate ids in /{file}",
                f"sudo usermod --add-subuids {free} --add-subgids {free} {user}",
            )
    return None


def _ranges(file: Path) -> list[tuple[str, int, int]]:
    """Owner, first id and count of each line."""
    rows = [line.split(":") for line in _text(file).splitlines() if line.count(":") == 2]
    return [(owner, int(first), int(count)) for owner, first, count in rows if first.isdigit() and count.isdigit()]


def _free_range(root: Path) -> str:
    """Return a range of ids that no user has: two users with the same ids could read what the other's pods write."""
    taken = [row for file in ("etc/subuid", "etc/subgid") for row in _ranges(root / file)]
    start = max((first + count for _, first, count in taken), default=_FIRST_SUBORDINATE_ID)
    start = max(start, _FIRST_SUBORDINATE_ID)
    return f"{start}-{start + _NEEDED_SUBORDINATE_IDS - 1}"


def _effective_capabilities() -> int:
    for line in _text(Path("/proc/self/status")).splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
