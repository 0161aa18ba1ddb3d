"""`python -m tests.featurespage`: writes the table of features in docs/conformance.md.

It is what the end-to-end tests claim to show. They are only collected: no cluster is needed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from mesh_lab.conformance.markdown import features_table
from mesh_lab.conformance.report import Report, read
from mesh_lab.conformance.writing import SUMMARY_VARIABLE

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "conformance.md"
BEGIN, END = "<!-- features: `make docs` writes this table -->\n", "<!-- /features -->\n"


def collected() -> Report:
    """The cases that the end-to-end tests claim, none of them run.

    Raises:
        RuntimeError: they cannot be collected, with what pytest says.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pytest", "tests/e2e", "--collect-only", "-q", f"--mesh-conformance={folder}"]
        environ = {name: value for name, value in os.environ.items() if name != SUMMARY_VARIABLE}
        done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}\n{done.stdout[-2000:]}{done.stderr}")
        return read(Path(folder))


def written(page: str, report: Report) -> str:
    """The page with the report's table.

    Raises:
        ValueError: the page does not have the two marks, in their order.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE}: {BEGIN.strip()} and {END.strip()} are to stand around the table")
    return "\n".join([f"{before}{BEGIN}", *features_table(report), "", f"{END}{after}"])


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), collected()), encoding="utf-8")
