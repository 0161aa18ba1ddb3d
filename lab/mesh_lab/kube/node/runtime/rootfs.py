"""What a container sees of the file system.

Its root is a tmpfs of its own, limited in size. The host's programs and libraries are there read-only, at their own
paths; of /etc only what programs need to look things up. So nothing that a container writes can reach a file of the
host, and this works as root and in a user namespace alike, where an overlay over the host's root is refused.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable
from typing import Any

from mesh_lab.kube.node.runtime import syscalls as sc

_PROGRAMS = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32")
_DIRECTORIES = {
    "proc": 0o555,
    "sys": 0o555,
    "dev": 0o755,
    "dev/pts": 0o755,
    "dev/shm": 0o1777,
    "etc": 0o755,
    "etc/ssl": 0o755,
    "home": 0o755,
    "mnt": 0o755,
    "opt": 0o755,
    "root": 0o711,  # the Python that the lab runs on may live below, and not every container runs as root
    "run": 0o755,
    "run/lock": 0o1777,
    "srv": 0o755,
    "tmp": 0o1777,
    "var": 0o755,
    "var/cache": 0o755,
    "var/lib": 0o755,
    "var/log": 0o755,
    "var/spool": 0o755,
    "var/tmp": 0o1777,
}
# Relative, so that they mean the same before and after the root changes.
_LINKS = {
    "var/run": "../run",
    "var/lock": "../run/lock",
    "etc/mtab": "../proc/self/mounts",
    "dev/ptmx": "pts/ptmx",
    "dev/fd": "../proc/self/fd",
    "dev/stdin": "../proc/self/fd/0",
    "dev/stdout": "../proc/self/fd/1",
    "dev/stderr": "../proc/self/fd/2",
}
# A user namespace may not make device nodes, so the host's are bound.
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_ETC_COPIED = (
    "bash.bashrc",
    "debian_version",
    "group",
    "host.conf",
    "inputrc",
    "ld.so.conf",
    "locale.alias",
    "localtime",
    "mime.types",
    "nsswitch.conf",
    "os-release",
    "passwd",
    "profile",
    "protocols",
    "services",
    "ssl/openssl.cnf",
    "timezone",
)
_ETC_BOUND = (
    "alternatives",
    "crypto-policies",
    "ld.so.cache",
    "ld.so.conf.d",
    "pki/ca-trust",
    "pki/tls/certs",
    "python3",
    "python3.11",
    "ssl/certs",
    "terminfo",
)
# The same as containerd's defaults: a container's root is not the kernel's administrator.
_PROC_READ_ONLY = ("bus", "fs", "irq", "sys", "sysrq-trigger")
_PROC_MASKED = ("acpi", "asound", "kcore", "keys", "latency_stats", "scsi", "timer_list", "timer_stats", "sched_debug")

_HOST_BIND = sc.MOUNT_ATTR_RDONLY | sc.MOUNT_ATTR_NOSUID


class HostFiles:
    """What containers take from the host, looked up once: files and links of /etc, and directories that are bound."""

    def __init__(self, read_only_dirs: list[str]) -> None:
        self.files: dict[str, tuple[bytes, int]] = {}
        self.links: dict[str, str] = {}
        self.bound: dict[str, str] = {}  # target -> source
        for name in _PROGRAMS:
            self._program_directory(f"/{name}")
        for name in _ETC_COPIED:
            self._copy(f"/etc/{name}")
        for name in _ETC_BOUND:
            if os.path.exists(f"/etc/{name}"):
                self.bound[f"/etc/{name}"] = os.path.realpath(f"/etc/{name}")
        for path in sorted(read_only_dirs, key=len):
            self._bind_outside_of_programs(path)
            self._bind_outside_of_programs(os.path.realpath(path))

    def _program_directory(self, path: str) -> None:
        if os.path.islink(path):
            self.links[path] = os.readlink(path).lstrip("/")
        elif os.path.isdir(path):
            self.bound[path] = path

    def _copy(self, path: str) -> None:
        if os.path.islink(path):
            self.links[path] = os.readlink(path)
            return
        with contextlib.suppress(OSError), open(path, "rb") as file:
            self.files[path] = (file.read(), stat.S_IMODE(os.stat(path).st_mode))

    def _bind_outside_of_programs(self, path: str) -> None:
        covered = any(path == there or path.startswith(there + "/") for there in self.bound)
        if not covered:
            self.bound[path] = path


def build(staging: str, host: HostFiles, wanted: dict[str, Any]) -> None:
    """Make the root of a container in this process' mount namespace, which must be its own, and enter it.

    `wanted` is the part `root` of a start request: `size` in bytes, `read_only`, `privileged`, `shm` (the sandbox'
    /dev/shm), `files` (path → [text, mode]), `mounts` ([{source, sub_path, target, read_only}]), `hidden` (directories
    of these that are to be empty).

    Raises:
        OSError: a mount or a file that cannot be made; the message names it.
    """
    sc.make_private("/")
    volumes = [_volume(mount) for mount in wanted["mounts"]]
    shm = _bind(wanted["shm"], sc.MOUNT_ATTR_NOSUID)
    devices = [sc.clone_tree(f"/dev/{name}") for name in _DEVICES]
    bound = {target: _bind(source, _HOST_BIND) for target, source in host.bound.items()}

    sc.mount("tmpfs", staging, sc.MS_NOSUID | sc.MS_NODEV, f"mode=0755,size={wanted['size']}")
    _skeleton(staging, wanted["privileged"])
    sc.pivot_root(staging)

    for name, device in zip(_DEVICES, devices, strict=True):
        _attach(device, f"/dev/{name}", is_directory=False)
    sc.attach(shm, "/dev/shm")
    _host_copies(host)
    _files(wanted["files"])
    if not wanted["privileged"]:
        _shield_proc()
    # The outer before the inner: the lab may be installed below a place where a volume is mounted, such as /tmp.
    mounts: list[tuple[str, Callable[[int, str], None], int]]
    mounts = [(target, _attach_host, tree) for target, tree in bound.items()]
    mounts += [(spec["target"], _mount_volume, tree) for spec, tree in zip(wanted["mounts"], volumes, strict=True)]
    for target, mount, tree in sorted(mounts, key=lambda one: one[0].rstrip("/").count("/")):
        mount(tree, target)
    for path in wanted["hidden"]:
        if os.path.isdir(path):
            sc.mount("tmpfs", path, sc.MS_RDONLY, "size=0,mode=0700")
    if wanted["read_only"]:
        sc.make_read_only("/")


def _skeleton(root: str, privileged: bool) -> None:
    for path, mode in _DIRECTORIES.items():
        os.mkdir(f"{root}/{path}", mode)
        if mode & stat.S_ISVTX:
            os.chmod(f"{root}/{path}", mode)
    for path, target in _LINKS.items():
        os.symlink(target, f"{root}/{path}")
    # In a user namespace the kernel allows these only while the old ones are still mounted.
    sc.mount("proc", f"{root}/proc", sc.MS_NOSUID | sc.MS_NODEV | sc.MS_NOEXEC)
    with contextlib.suppress(PermissionError):
        flags = 0 if privileged else sc.MS_RDONLY
        sc.mount("sysfs", f"{root}/sys", flags | sc.MS_NOSUID | sc.MS_NODEV | sc.MS_NOEXEC)
    sc.mount("devpts", f"{root}/dev/pts", sc.MS_NOSUID | sc.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620")


def _bind(source: str, attributes: int) -> int:
    tree = sc.clone_tree(source)
    if attributes:
        sc.restrict(tree, attributes)
    return tree


def _volume(mount: dict[str, Any]) -> int:
    inside = mount["sub_path"]
    tree = sc.clone_tree_inside(mount["source"], inside) if inside else sc.clone_tree(mount["source"])
    if mount["read_only"]:
        sc.restrict(tree, sc.MOUNT_ATTR_RDONLY)
    return tree


def _attach(tree: int, target: str, *, is_directory: bool | None = None) -> None:
    if is_directory is None:
        is_directory = stat.S_ISDIR(os.fstat(tree).st_mode)
    if is_directory:
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644))
    sc.attach(tree, target)
    os.close(tree)


def _attach_host(tree: int, target: str) -> None:
    try:
        _attach(tree, target)
    except OSError as error:
        if error.errno == errno.EROFS:
            raise OSError(
                f"mountPath: a read-only volume is mounted above {target}, where the lab itself is installed"
            ) from error
        raise


def _mount_volume(tree: int, target: str) -> None:
    try:
        if os.path.exists(target):
            sc.attach(tree, target)
        else:
            _attach(tree, target)
    except OSError as error:
        if error.errno == errno.EROFS:
            raise OSError(
                f"mountPath {target}: it is not there and cannot be made: its directory is the host's and read-only"
            ) from error
        raise OSError(f"mountPath {target}: {error.strerror}") from error


def _host_copies(host: HostFiles) -> None:
    for path, (data, mode) in host.files.items():
        _write(path, data, mode)
    for path, target in host.links.items():
        os.symlink(target, path)


def _files(files: dict[str, list[Any]]) -> None:
    for path, (text, mode) in files.items():
        os.makedirs(os.path.dirname(path), exist_ok=True)
        _write(path, text.encode(), mode)


def _write(path: str, data: bytes, mode: int) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode), "wb") as file:
        file.write(data)


def _shield_proc() -> None:
    for name in _PROC_READ_ONLY:
        with contextlib.suppress(FileNotFoundError):
            path = f"/proc/{name}"
            sc.attach(_bind(path, sc.MOUNT_ATTR_RDONLY), path)
    for name in _PROC_MASKED:
        path = f"/proc/{name}"
        if os.path.isdir(path):
            sc.mount("tmpfs", path, sc.MS_RDONLY, "size=0")
        elif os.path.exists(path):
            sc.attach(sc.clone_tree("/dev/null"), path)
