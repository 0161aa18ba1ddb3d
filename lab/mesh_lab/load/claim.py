"""One load run at a time on a cluster: the run's namespace records its owner, and the first to create it has the run.

A run that was killed leaves its namespace behind. It is over when its time is, or when its process on this machine is
gone; then the next run removes it.
"""

from __future__ import annotations

import os
import platform
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from mesh_lab.client.api import Api
from mesh_lab.client.connection import ApiError
from mesh_lab.client.objects import Items, Object, Reference, reference
from mesh_lab.errors import LabError

ANNOTATION = "mesh-lab/load-run"
_REMOVAL_SECONDS = 60.0
_TRIES = 5


class RunUnderWay(LabError):  # noqa: N818 - a state of the cluster, not a fault
    """Another load run is under way; the message says which process' it is, and until when."""


class Claim(msgspec.Struct, frozen=True):
    """The owner of a run: the process on its host, by its number and its start (in clock ticks since boot).

    `until` is when it is over at the latest (Unix time, seconds); None for one that has no end of its own.
    """

    host: str
    process: int
    started: str
    since: float
    until: float | None = None

    @classmethod
    def here(cls, seconds: float | None) -> Claim:
        """This process' claim, for at most `seconds`."""
        now, process = time.time(), os.getpid()
        return cls(platform.node(), process, _started(process), now, None if seconds is None else now + seconds)

    def over(self) -> bool:
        """Whether the run is over: its time is up, or its process has ended."""
        if self.until is not None and time.time() > self.until:
            return True
        return self.host == platform.node() and _started(self.process) != self.started

    def __str__(self) -> str:
        until = f", until {_clock(self.until)} at the latest" if self.until is not None else ""
        return f"process {self.process} on {self.host}, since {_clock(self.since)}{until}"


def take(api: Api, namespace: Object, claim: Claim, *, replace: bool) -> None:
    """Create the run's namespace with the claim on it; what is left of a run that is over is removed first.

    With `replace`, a run that is under way is removed as well.

    Raises:
        RunUnderWay: another run has the namespace.
        ApiError, TimeoutError: it cannot be made, or the old one does not go away.
    """
    marked = {ANNOTATION: msgspec.json.encode(claim).decode()}
    wanted = {**namespace, "metadata": {**namespace["metadata"], "annotations": marked}}
    for _ in range(_TRIES):
        try:
            api.create(wanted)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
        else:
            return
        present = api.find(reference(namespace))
        if present is not None:
            _refuse_running(present, replace=replace)
            remove(api, reference(namespace))
    raise RunUnderWay("other load runs come and go; try again")


def held(api: Api, ref: Reference, claim: Claim) -> bool:
    """Whether the run's namespace is still this claim's."""
    present = api.find(ref)
    return present is not None and _claim(present) == claim


def remove(api: Api, ref: Reference) -> None:
    """Delete the namespace and wait until it is gone."""
    api.delete(ref)

    def gone(items: Items) -> bool:
        return ref.name not in items

    api.wait_until(
        api.path("v1", "Namespace"),
        gone,
        timeout=_REMOVAL_SECONDS,
        why="the last load run is removed",
        describe=lambda _: f"  {ref.name} remains",
    )


def _refuse_running(present: Object, *, replace: bool) -> None:
    if replace or "deletionTimestamp" in present["metadata"]:
        return
    claim = _claim(present)
    if claim is not None and claim.over():
        return
    whose = str(claim) if claim is not None else "it does not say whose it is"
    name = present["metadata"]["name"]
    raise RunUnderWay(
        f"a load run is under way in the namespace {name} ({whose}); wait until it is done, or end it with --replace"
    )


def _claim(namespace: Object) -> Claim | None:
    text = (namespace["metadata"].get("annotations") or {}).get(ANNOTATION, "")
    try:
        return msgspec.json.decode(text, type=Claim)
    except msgspec.MsgspecError:
        return None


def _started(process: int) -> str:
    """When a process was started (proc(5)); where there is no /proc, whether it is there."""
    try:
        return Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return ""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return "running"


def _clock(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).astimezone().strftime("%H:%M:%S")
