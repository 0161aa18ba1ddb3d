"""Istio's documentation tests on a running cluster, unmodified: what docs/istio-tasks.md says is held against them.

    python -m tests.istiodocs --docs DIR --istio DIR [PATH ...]

`--docs` is a checkout of Istio's documentation, `--istio` one of Istio of the same release (its samples, charts and
tools); each PATH a page below content/en/docs (all of tasks/ by default). `KUBECONFIG` names the cluster; `istioctl`
and `kubectl` are found on the PATH. A test may stop or reconfigure the mesh: use a lab made for it
(`mesh-lab --name docs up --profile demo`).

A page's `test.sh` is run as the documentation's own framework runs it: the page's snippets and the helpers are read
first, then the part before `# @cleanup`, then, whatever came of it, the rest. Tests of other setups (ambient mode,
several clusters, the Gateway API) are left out, and said to be.

Exit codes: 0 all passed, 1 one failed, 2 nothing to run.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

DOCS = Path("content/en/docs")
FROM_ISTIO = ("samples", "manifests", "tools")
SETUPS = frozenset({"profile=default", "profile=demo", "profile=minimal", "profile=none"})
LIMIT = 900.0
CLEANUP_LIMIT = 300.0
_HELPERS = ("verify", "debug", "helpers")
_CLEANUP = re.compile(r"^# @cleanup", re.MULTILINE)
_SETUP = re.compile(r"^# @setup (?P<setup>.+)$", re.MULTILINE)
_SOURCE = re.compile(r'^source ".*\.sh"$', re.MULTILINE)


class MalformedError(ValueError):
    """A `test.sh` that is not of the framework's form; the message says why."""


@dataclass(frozen=True)
class Test:
    """A page's test: its path below content/en/docs, the setup that it is made for, and its two scripts."""

    path: str
    setup: str
    script: str
    cleanup: str


@dataclass(frozen=True)
class Outcome:
    """What came of a test: its path, whether it passed, how long it ran (seconds), and where its output lies."""

    path: str
    passed: bool
    seconds: float
    log: Path


def parse(path: str, text: str) -> Test:
    """The test at `path` (below content/en/docs) whose file says `text`.

    Raises:
        MalformedError: It has not one `# @setup` and one `# @cleanup`.
    """
    parts = _CLEANUP.split(text)
    setups = _SETUP.findall(parts[0])
    if len(parts) != 2 or len(setups) != 1:
        raise MalformedError(f"{path}: wants one line `# @setup` and one `# @cleanup`")
    sources = "\n".join(_SOURCE.findall(parts[0]))
    before = _preamble(path)
    return Test(path, setups[0].strip(), before + parts[0], f"{before}{sources}\n{parts[1]}")


def _preamble(path: str) -> str:
    files = [str(DOCS / Path(path).parent / "snips.sh"), *(f"tests/util/{name}.sh" for name in _HELPERS)]
    return "".join(f'source "{file}"\n' for file in files)


def found(root: Path, paths: Sequence[str]) -> Iterator[Test]:
    """The tests below each of `paths`, in order; one that is of no known form or another setup is told and left out."""
    for path in paths:
        start = root / DOCS / path
        for file in [start] if start.is_file() else sorted(start.rglob("*test.sh")):
            try:
                test = parse(str(file.relative_to(root / DOCS)), file.read_text(encoding="utf-8"))
            except MalformedError as error:
                _say(f"left out: {error}")
                continue
            if test.setup in SETUPS and not file.name.startswith("gtwapi"):
                yield test
            else:
                _say(f"left out: {test.path}: made for {test.setup}, {file.name}")


def run(test: Test, root: Path, logs: Path) -> Outcome:
    """Run a test and its cleanup in `root`, with their output in a file of `logs`."""
    log = logs / f"{test.path.removesuffix('.sh').replace('/', '_')}.log"
    started = time.monotonic()
    with log.open("wb") as output:
        passed = _bash(test.script, root, output.fileno(), LIMIT)
        seconds = time.monotonic() - started
        output.write(b"\n==== cleanup\n")
        output.flush()
        _bash(test.cleanup, root, output.fileno(), CLEANUP_LIMIT)
    return Outcome(test.path, passed, seconds, log)


def _bash(script: str, root: Path, output: int, limit: float) -> bool:
    """Whether the script ended well within `limit` seconds; nothing of it is left running."""
    with tempfile.NamedTemporaryFile("w", suffix=".sh", encoding="utf-8") as file:
        file.write(script)
        file.flush()
        with subprocess.Popen(
            ["bash", file.name],
            cwd=root,
            env=os.environ | {"REPO_ROOT": str(root)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process:
            try:
                return process.wait(limit) == 0
            except subprocess.TimeoutExpired:
                return False
            finally:
                _kill_group(process.pid)


def _kill_group(group: int) -> None:
    """A script may have left commands in its background."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def laid_out(docs: Path, istio: Path, root: Path) -> None:
    """Make `root` what the scripts expect: the documentation's files, and Istio's beside them."""
    for source, names in ((docs, ("content", "tests")), (istio, FROM_ISTIO)):
        for name in names:
            (root / name).symlink_to((source / name).resolve(strict=True), target_is_directory=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run what the command line names, print a line for each test, and the sum."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--docs", type=Path, required=True, help="a checkout of Istio's documentation")
    parser.add_argument("--istio", type=Path, required=True, help="a checkout of Istio, for its samples")
    parser.add_argument("--logs", type=Path, default=Path("reports/istio-docs"), help="where the output goes")
    parser.add_argument("paths", nargs="*", default=["tasks"], help="pages below content/en/docs")
    given = parser.parse_args(argv)
    given.logs.mkdir(parents=True, exist_ok=True)
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="istio-docs-") as name:
        root = Path(name)
        try:
            laid_out(given.docs, given.istio, root)
        except FileNotFoundError as error:
            parser.error(f"{error.filename}: no such folder; both checkouts must be whole")
        for test in found(root, given.paths):
            outcome = run(test, root, given.logs)
            outcomes.append(outcome)
            verdict = "passed" if outcome.passed else f"FAILED, see {outcome.log}"
            _say(f"{outcome.path}: {verdict} ({outcome.seconds:.0f} s)")
    passed = sum(outcome.passed for outcome in outcomes)
    _say(f"{passed} of {len(outcomes)} passed")
    return 2 if not outcomes else int(passed < len(outcomes))


if __name__ == "__main__":
    sys.exit(main())
