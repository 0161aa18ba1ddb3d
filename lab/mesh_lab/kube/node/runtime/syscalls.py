"""System calls that Python 3.11 has no function for: namespaces, mounts, capabilities.

Mounts go through the descriptor-based calls of Linux 5.2 and 5.12 (`open_tree`, `move_mount`, `mount_setattr`): a
bind is made and restricted while it is attached nowhere, so no container ever sees it writable, and its target is
looked up inside the container's root, so no symbolic link can lead it out.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REC = 0x4000
MS_PRIVATE = 1 << 18
MNT_DETACH = 2

MOUNT_ATTR_RDONLY = 1
MOUNT_ATTR_NOSUID = 2
MOUNT_ATTR_NOEXEC = 8

_PR_SET_PDEATHSIG = 1
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38

_AT_FDCWD = -100
_AT_EMPTY_PATH = 0x1000
_AT_RECURSIVE = 0x8000
_MNT_DETACH = 2
_OPEN_TREE_CLONE = 1
_OPEN_TREE_CLOEXEC = os.O_CLOEXEC
_MOVE_MOUNT_F_EMPTY_PATH = 4
_RESOLVE_IN_ROOT = 0x10

# These numbers are the same on every architecture; that of pivot_root, which is older, is not.
_SYS_OPEN_TREE = 428
_SYS_MOVE_MOUNT = 429
_SYS_OPENAT2 = 437
_SYS_MOUNT_SETATTR = 442
_SYS_PIVOT_ROOT = {"x86_64": 155}.get(platform.machine(), 41)

_libc = ctypes.CDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def unshare(flags: int) -> None:
    """Leave the namespaces of `flags` for new ones; of CLONE_NEWPID, the children only."""
    _check(_libc.unshare(ctypes.c_int(flags)), "unshare")


def setns(descriptor: int, flags: int) -> None:
    """Enter the namespace that `descriptor` stands for; with a pidfd, those of the process that `flags` name."""
    _check(_libc.setns(ctypes.c_int(descriptor), ctypes.c_int(flags)), "setns")


def mount(kind: str, target: str, flags: int = 0, options: str = "") -> None:
    """Mount a new file system of type `kind`; its source is named after its type."""
    source = kind.encode()
    code = _libc.mount(source, os.fsencode(target), source, ctypes.c_ulong(flags), options.encode())
    _check(code, f"mount {kind} on {target}")


def unmount(target: str) -> None:
    """Unmount `target` lazily (MNT_DETACH)."""
    _check(_libc.umount2(os.fsencode(target), _MNT_DETACH), f"unmount {target}")


def make_private(target: str) -> None:
    """Cut `target` and all below off from mount propagation, both ways."""
    _check(_libc.mount(None, os.fsencode(target), None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None), f"private {target}")


def clone_tree(path: str) -> int:
    """Return a detached copy of the mounts at and below `path`, from which a bind mount is made."""
    flags = _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC | _AT_RECURSIVE
    return _check(_syscall(_SYS_OPEN_TREE, _AT_FDCWD, os.fsencode(path), ctypes.c_uint(flags)), f"open {path}")


def clone_tree_inside(directory: str, path: str) -> int:
    """Return the same for `path` inside of `directory`; no symbolic link can lead out of that."""
    root = os.open(directory, os.O_PATH | os.O_CLOEXEC)
    try:
        how = struct.pack("=QQQ", os.O_PATH | os.O_CLOEXEC, 0, _RESOLVE_IN_ROOT)
        found = _syscall(_SYS_OPENAT2, root, os.fsencode(path), how, ctypes.c_size_t(len(how)))
        _check(found, f"subPath {path}")
    finally:
        os.close(root)
    try:
        flags = ctypes.c_uint(_OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC | _AT_RECURSIVE | _AT_EMPTY_PATH)
        return _check(_syscall(_SYS_OPEN_TREE, found, b"", flags), f"subPath {path}")
    finally:
        os.close(found)


def restrict(tree: int, attributes: int) -> None:
    """Add MOUNT_ATTR_* to every mount of the tree."""
    what = struct.pack("=QQQQ", attributes, 0, 0, 0)
    flags = ctypes.c_uint(_AT_EMPTY_PATH | _AT_RECURSIVE)
    _check(_syscall(_SYS_MOUNT_SETATTR, tree, b"", flags, what, ctypes.c_size_t(len(what))), "mount_setattr")


def make_read_only(path: str) -> None:
    """Make the one mount at `path` read-only, and none below it."""
    what = struct.pack("=QQQQ", MOUNT_ATTR_RDONLY, 0, 0, 0)
    result = _syscall(_SYS_MOUNT_SETATTR, _AT_FDCWD, os.fsencode(path), 0, what, ctypes.c_size_t(len(what)))
    _check(result, f"make {path} read-only")


def attach(tree: int, target: str) -> None:
    """Mount the tree at `target`."""
    flags = ctypes.c_uint(_MOVE_MOUNT_F_EMPTY_PATH)
    _check(_syscall(_SYS_MOVE_MOUNT, tree, b"", _AT_FDCWD, os.fsencode(target), flags), f"mount on {target}")


def pivot_root(new_root: str) -> None:
    """Make the mount `new_root` this process' root and drop the old one with all that is mounted below it."""
    os.chdir(new_root)
    _check(_syscall(_SYS_PIVOT_ROOT, b".", b"."), f"pivot_root {new_root}")
    _check(_libc.umount2(b".", MNT_DETACH), "detach the old root")
    os.chdir("/")


def keep_capabilities(kept: frozenset[int]) -> None:
    """Drop every capability that is not in `kept` from the bounding set, for good."""
    for number in range(64):
        if number in kept:
            continue
        if _libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0) < 0:
            if ctypes.get_errno() == errno.EINVAL:  # beyond the kernel's last capability
                return
            _check(-1, f"drop capability {number}")


def no_new_privileges() -> None:
    """No exec of this process or its children gains a privilege."""
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")


def die_with_parent(signal_number: int) -> None:
    """Send this process a signal when its parent dies. A change of user undoes it: call this last."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0), "pdeathsig")
