"""Run `mesh-lab` as a person does: a process, its output and its exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]
SOURCE = ROOT / "lab"


@dataclass(frozen=True)
class Outcome:
    """What came of a command."""

    code: int
    out: str
    err: str


def run(directory: Path, *arguments: str, **environ: str) -> Outcome:
    """`mesh-lab ARGUMENTS` in `directory`, with no variable of the lab but `environ`."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MESH_LAB_")}
    done = subprocess.run(
        [sys.executable, "-m", "mesh_lab.cli", *arguments],
        cwd=directory,
        env=clean | {"PYTHONPATH": str(SOURCE), "COLUMNS": "100"} | environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)
