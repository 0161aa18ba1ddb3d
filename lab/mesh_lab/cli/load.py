"""`mesh-lab load`: a load run on this lab: checks its options and prints its figures."""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import NoReturn

from mesh_lab.cli.access import connect
from mesh_lab.cli.console import say
from mesh_lab.errors import LabError
from mesh_lab.load import figures
from mesh_lab.load.run import run
from mesh_lab.load.settings import TARGET, Settings, lacks_locust
from mesh_lab.settings import Lab

TEXT, JSON = "text", "json"


def load(lab: Lab, settings: Settings, *, reports: Path, output: str) -> None:
    """Make the run.

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
    signal.signal(signal.SIGTERM, _interrupt)
    with connect(lab) as api:
        try:
            found = run(api, _for_lab(settings, lab), reports, say if output == TEXT else _tell)
        except KeyboardInterrupt:
            raise LabError("interrupted; locust is removed") from None
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
        return replace(settings, target=settings.target or TARGET, image_prefix=prefix)
    existing = lab.settings.existing
    target = settings.target or f"http://istio-ingressgateway.{existing.namespace}"
    return replace(settings, target=target, image_prefix=existing.image_prefix)


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _interrupt(_: int, __: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
