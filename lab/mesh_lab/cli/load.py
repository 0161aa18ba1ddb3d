"""`mesh-lab load`: a load run on this lab: checks its options and prints its figures."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from mesh_lab.cli.access import connect
from mesh_lab.cli.console import say
from mesh_lab.errors import LabError
from mesh_lab.load import comparing, figures
from mesh_lab.load.run import run
from mesh_lab.load.settings import TARGET, Settings, lacks_locust
from mesh_lab.settings import Lab

TEXT, JSON = "text", "json"
_FOLDER = Path("reports/load")
_JSON_FILE = "load.json"


def load(lab: Lab, settings: Settings, *, reports: Path | None, output: str) -> None:
    """Make the run. Without `reports` they go into a new folder.

    Raises:
        LabError: the run could not be made or was interrupted.
        SystemExit: with code 1, when a limit is broken.
    """
    if output not in (TEXT, JSON):
        raise LabError(f"unknown output format {output!r}", hint=f"Known: {TEXT}, {JSON}.", exit_code=2)
    if lacks_locust(lab.settings.cluster):
        raise LabError(
            "mesh-lab load needs locust: install mesh-lab[load]",
            hint="pip install locust, in this environment, is enough.",
        )
    reports = _new_folder() if reports is None and not settings.ui else reports or _FOLDER
    signal.signal(signal.SIGTERM, _interrupt)
    with connect(lab) as api:
        try:
            found = run(api, _for_lab(settings, lab), reports, say if output == TEXT else _tell)
        except KeyboardInterrupt:
            raise LabError("interrupted; locust is removed") from None
        finally:
            # Of a run that was refused, or failed, nothing is left.
            with contextlib.suppress(OSError):
                reports.rmdir()
    if found is None:
        return
    if output == JSON:
        say(json.dumps({**found, "reports": str(reports)}, indent=2))
    else:
        for line in figures.summary(found, reports):
            say(line)
    for broken in found["broken_limits"]:
        _tell(f"limit broken: {broken}")
    if found["broken_limits"]:
        raise SystemExit(1)


def _for_lab(settings: Settings, lab: Lab) -> Settings:
    """The settings with this lab's gateway and images where none were named."""
    if lab.settings.cluster != "existing":
        prefix = os.environ.get("MESH_LAB_IMAGE_PREFIX", "")
        revision = lab.settings.istio.revision if lab.settings.cluster == "kind" else ""
        return replace(settings, target=settings.target or TARGET, image_prefix=prefix, revision=revision)
    existing = lab.settings.existing
    target = settings.target or f"http://istio-ingressgateway.{existing.namespace}"
    revision = lab.settings.istio.revision
    return replace(settings, target=target, image_prefix=existing.image_prefix, revision=revision)


def compare(first: Path, second: Path, output: str) -> None:
    """Compare two runs.

    Raises:
        LabError: a run cannot be read, or is too short to be compared.
        SystemExit: with code 1, when the second is worse.
    """
    runs = [_windows(path) for path in (first, second)]
    try:
        found = comparing.compare(*runs)
    except ValueError as error:
        raise LabError(str(error), hint="A run of ten seconds and more has enough.", exit_code=2) from error
    if output == JSON:
        say(json.dumps([{**asdict(each), "verdict": each.verdict} for each in found], indent=2))
    else:
        for line in comparing.table(found):
            say(line)
    if worse := [each.figure for each in found if each.verdict == "worse"]:
        _tell(f"worse: {', '.join(worse)}")
        raise SystemExit(1)


def _windows(path: Path) -> list[dict[str, Any]]:
    file = path / _JSON_FILE if path.is_dir() else path
    try:
        windows: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))["windows"]
    except OSError as error:
        raise LabError(f"cannot read {file}: {error.strerror}", exit_code=2) from error
    except (ValueError, KeyError, TypeError) as error:
        raise LabError(f"{file} is not the load.json of a run", exit_code=2) from error
    return windows


def _new_folder() -> Path:
    """A folder for a run, by its time, of which no other run has the name."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    for suffix in ("", *(f"-{number}" for number in range(2, 100))):
        folder = _FOLDER / f"{stamp}{suffix}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise LabError(
                f"cannot write to {folder}: {error.strerror}", hint="--reports DIR puts the reports elsewhere."
            ) from error
        return folder
    raise LabError(f"there are a hundred runs of this second in {_FOLDER}")


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _interrupt(_: int, __: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
