"""`pytest --mesh-conformance DIR`: which case of which feature each test shows, and the report of how they ended.

Every process of a run collects the same tests, so each knows all cases; a worker of pytest-xdist hands them to the
controller, which hears every test's reports and writes. What a test saw goes with its reports as `user_properties`,
which is how JUnit's XML (`--junitxml`) has it, too.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mesh_lab.client.api import Api
from mesh_lab.conformance.features import Case
from mesh_lab.conformance.numbers import noted
from mesh_lab.conformance.report import Cluster, Made, Outcome, Report, Verdict, assembled
from mesh_lab.conformance.writing import shown_in_github, write
from mesh_lab.harness.claims import cases_of
from mesh_lab.harness.describing import described
from mesh_lab.load.provenance import made

API_FIXTURE = "mesh_api"
FAILURE_LINES = 8
_HANDED = "mesh_conformance"
_SKIPPED = "Skipped: "
_DESELECTED, _NEVER_BEGUN = "deselected", "the run ended before it"


class Gathered(msgspec.Struct):
    """What a process knows of a run: by test the cases that it shows, which are deselected, and the cluster.

    `skipped` has the reasons of tests that are marked to be skipped wherever they run; `wrong` is what a worker has
    found to be claimed wrongly.
    """

    cases: dict[str, list[tuple[str, str, str]]] = {}
    deselected: list[str] = []
    skipped: dict[str, str] = {}
    cluster: Cluster | None = None
    wrong: str = ""


_HANDED_OVER = msgspec.json.Decoder(Gathered)


class Collector:
    """In each process that runs tests: finds the cases, and asks the cluster once what it is."""

    def __init__(self, gathered: Gathered, cluster: str) -> None:
        self._gathered = gathered
        self._kind = cluster
        self._api: Api | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Note the cases of all tests, before any is deselected.

        Raises:
            UsageError: a marker that is wrong, or two tests that claim one case; with their places.
        """
        cases = cases_of(items)
        for item in items:
            if item.nodeid in cases and (skip := item.get_closest_marker("skip")):
                self._gathered.skipped[item.nodeid] = str(skip.kwargs.get("reason") or (skip.args or ("",))[0])
            for case in cases.get(item.nodeid, ()):
                item.user_properties += [
                    ("mesh.feature", case.feature),
                    ("mesh.protocol", case.protocol),
                    ("mesh.api", case.api),
                ]
        self._gathered.cases = {
            test: [(case.feature, case.protocol, case.api) for case in shown] for test, shown in cases.items()
        }

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Note what `-k` and `-m` leave out."""
        self._gathered.deselected += [item.nodeid for item in items]

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Generator[None, object, object]:
        """Note the API of the cluster under test."""
        value = yield
        if fixturedef.argname == API_FIXTURE and isinstance(value, Api):
            self._api = value
        return value

    def pytest_runtest_makereport(self) -> None:
        """Ask the cluster what it is, once a test has reached it: there are proxies then."""
        if self._gathered.cluster is None and self._api is not None:
            self._gathered.cluster = described(self._api, self._kind)


class WorkerCollector(Collector):
    """In a worker of pytest-xdist: hands what it has gathered to the controller."""

    def __init__(self, config: Any, gathered: Gathered, cluster: str) -> None:
        super().__init__(gathered, cluster)
        self._config = config

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Run nothing where a marker is wrong: raised here, it would be a fault of the worker to the controller."""
        try:
            super().pytest_collection_modifyitems(items)
        except pytest.UsageError as error:
            self._gathered.wrong = str(error)
            items.clear()

    def pytest_sessionfinish(self) -> None:
        """Hand it over, as text."""
        self._config.workeroutput[_HANDED] = msgspec.json.encode(self._gathered).decode()


@dataclass
class _Heard:
    """What was heard of one test."""

    verdict: Verdict | None = None
    duration_s: float = 0.0
    reason: str = ""
    failure: tuple[str, ...] = ()
    numbers: dict[str, float] = field(default_factory=dict)


class Writer:
    """In the process that hears of every test: makes the report when the run ends."""

    def __init__(self, folder: Path, gathered: Gathered, environ: Mapping[str, str]) -> None:
        self._folder = folder
        self._gathered = gathered
        self._environ = environ
        self._heard: dict[str, _Heard] = {}
        self._line = ""

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take what a worker hands over; one that has crashed has nothing, and the others have the same cases.

        Raises:
            UsageError: it has found something to be claimed wrongly.
        """
        handed = getattr(node, "workeroutput", {}).get(_HANDED)
        if handed is None:
            return
        theirs = _HANDED_OVER.decode(handed)
        if theirs.wrong:
            raise pytest.UsageError(theirs.wrong)
        self._gathered.cases |= theirs.cases
        self._gathered.skipped |= theirs.skipped
        self._gathered.deselected += theirs.deselected
        self._gathered.cluster = self._gathered.cluster or theirs.cluster

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note how a part of a test (its fixtures, its call) ended."""
        heard = self._heard.setdefault(report.nodeid, _Heard())
        heard.duration_s += report.duration
        heard.numbers |= noted(report.user_properties)
        if report.failed or (report.skipped and hasattr(report, "wasxfail")):
            heard.verdict, heard.failure = "fails", heard.failure or first_lines(report)
        elif report.skipped:
            heard.verdict, heard.reason = "not supported", _reason(report)
        elif report.when == "call":
            heard.verdict = "passes"

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Write the report, unless the run was refused: then one of an earlier run stays as it is."""
        if exitstatus == pytest.ExitCode.USAGE_ERROR:
            return
        report = self._report()
        write(report, self._folder)
        shown_in_github(report, self._environ)
        totals = ", ".join(f"{count} {verdict}" for verdict, count in report.totals().items())
        self._line = f"conformance: {totals}; {self._folder / 'conformance.html'}"

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Say where it is."""
        if self._line:
            terminalreporter.write_line(self._line)

    def _report(self) -> Report:
        outcomes = {}
        for test, shown in self._gathered.cases.items():
            for case in (Case(*words) for words in shown):
                outcomes[case] = self._outcome(test, case)
        return assembled(outcomes, self._gathered.cluster, msgspec.convert(made(), Made))

    def _outcome(self, test: str, case: Case) -> Outcome:
        heard = self._heard.get(test) or self._unheard(test)
        return Outcome(
            case.protocol,
            case.api,
            test,
            heard.verdict or "not run",
            round(heard.duration_s, 3),
            dict(sorted(heard.numbers.items())),
            heard.reason,
            heard.failure,
        )

    def _unheard(self, test: str) -> _Heard:
        """Of a test that has not begun: what is skipped everywhere is known without it."""
        if test in self._gathered.skipped:
            return _Heard("not supported", reason=self._gathered.skipped[test])
        return _Heard(reason=_DESELECTED if test in self._gathered.deselected else _NEVER_BEGUN)


def first_lines(report: pytest.TestReport) -> tuple[str, ...]:
    """The first lines of what a failed test says: its message where there is one, else the end of its traceback."""
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is not None:
        return tuple(crash.message.splitlines()[:FAILURE_LINES])
    return tuple(report.longreprtext.splitlines()[-FAILURE_LINES:])


def register(config: pytest.Config, folder: Path, environ: Mapping[str, str]) -> None:
    """Add what this process of a run needs.

    Raises:
        UsageError: the folder cannot be made.
    """
    gathered, manager = Gathered(), config.pluginmanager
    cluster = config.getoption("--mesh-cluster")
    if hasattr(config, "workerinput"):
        manager.register(WorkerCollector(config, gathered, cluster), "mesh-lab-cases")
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise pytest.UsageError(f"--mesh-conformance: cannot make {folder}: {error.strerror}") from error
    manager.register(Collector(gathered, cluster), "mesh-lab-cases")
    manager.register(Writer(folder, gathered, environ), "mesh-lab-conformance")


def _reason(report: pytest.TestReport) -> str:
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix(_SKIPPED)
    return report.longreprtext
