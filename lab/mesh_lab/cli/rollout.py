"""`mesh-lab rollout`: a rollout on this lab: its file, its lock, its report."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import NoReturn

from mesh_lab.cli.access import connect
from mesh_lab.cli.console import say
from mesh_lab.client.api import Api
from mesh_lab.errors import LabError
from mesh_lab.harness.mesh import Mesh
from mesh_lab.harness.workloads import IMAGE, Images
from mesh_lab.load.claim import Claim
from mesh_lab.rollout import report, running
from mesh_lab.rollout.settings import Rollout, read
from mesh_lab.rollout.traffic import remove_client, sending
from mesh_lab.rollout.writing import Route
from mesh_lab.settings import Lab

FOLDER = Path("reports/rollout")


def rollout(
    lab: Lab, file: Path, *, dry_run: bool, abort: bool, reports: Path | None, output: str, kubeconfig: Path | None
) -> None:
    """Carry out, resume, or abort the rollout in a file.

    Raises:
        LabError: it cannot be carried out, or was interrupted.
        SystemExit: with code 1, when it was rolled back.
    """
    if output not in ("text", "json"):
        raise LabError(f"unknown output format {output!r}", hint="Known: text, json.", exit_code=2)
    wanted = read(file)
    with connect(lab) if kubeconfig is None else Api(kubeconfig) as api:
        route, mesh = Route(api, wanted), Mesh(api, wanted.namespace, _images(lab))
        claim = Claim.here(running.longest(wanted))
        if abort:
            running.abort(route, claim)
            remove_client(mesh, wanted)
            say(f"{wanted.arms[0].name} has all requests of {wanted.route}")
            return
        if dry_run:
            route.check()
            _tell_plan(wanted)
            return
        folder = reports or FOLDER / time.strftime("%Y%m%d-%H%M%S")
        tell = say if output == "text" else _tell
        with _interruptible(file):
            outcome = running.run(route, wanted, sending(mesh, wanted), claim, tell)
    _tell_outcome(wanted, outcome, folder, output)
    if not outcome.promoted:
        raise SystemExit(1)


def _tell_outcome(wanted: Rollout, outcome: running.Outcome, folder: Path, output: str) -> None:
    """Write the report, where there was anything to do, and tell the verdict."""
    found = report.document(wanted, outcome)
    try:
        path = str(report.write(folder, found)) if outcome.steps else ""
    except OSError as error:
        raise LabError(f"cannot write to {folder}: {error.strerror}") from error
    if output == "json":
        say(json.dumps({**found, "report": path}, indent=2))
    elif path:
        for line in report.lines(wanted, outcome):
            say(line)
        say(f"report: {path}")


def _images(lab: Lab) -> Images:
    prefix = lab.settings.existing.image_prefix if lab.settings.cluster == "existing" else ""
    return Images(f"{prefix}{IMAGE}", f"{prefix}{IMAGE}")


def _tell_plan(wanted: Rollout) -> None:
    stable, canary = wanted.arms
    say(f"{wanted.route} in {wanted.namespace}: from {stable.name} to {canary.name}, nothing is written")
    say(f"  0% {canary.name}: whether {stable.name} itself keeps to what is wanted")
    for number, weight in enumerate(wanted.weights, 1):
        say(f"  step {number} of {len(wanted.weights)}: {weight:g}% {canary.name}")
    latency = "".join(f", {name} under {bound}" for name, bound in wanted.latency.items())
    success = f"success at least {wanted.success.at_least}"
    say(f"  each until it is known: {success}{latency}; worse is: by {wanted.success.worse_by}")
    asked = wanted.requests
    say(
        f"  {asked.rate:g} requests a second to {wanted.url}; a step takes {wanted.least} of a version without a fault,"
    )
    say(f"  and at most {asked.most} of one that is near its limits, or {asked.deadline:g} s")


@contextlib.contextmanager
def _interruptible(file: Path) -> Iterator[None]:
    """Ends with words on how to go on, when the process is asked to end."""
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    except KeyboardInterrupt:
        raise LabError(
            "interrupted; the weights stay as they are",
            hint=f"`mesh-lab rollout {file}` goes on at this step, with --abort the stable version gets all.",
        ) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _interrupt(_: int, __: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
