"""The report of a run: each feature's cases with their verdicts and numbers, on which cluster, made by what.

`SCHEMA_VERSION` changes when a reader of the file has to; a field that is added does not change it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Literal

import msgspec

from mesh_lab.conformance.features import PROTOCOLS, Case

SCHEMA_VERSION = 1
FILE = "conformance.json"

Verdict = Literal["passes", "fails", "not supported", "not run"]
VERDICTS: tuple[Verdict, ...] = ("passes", "fails", "not supported", "not run")


class Cluster(msgspec.Struct, frozen=True):
    """The cluster under test; what could not be found out is empty, and `unknown` says why."""

    kind: str
    kubernetes: str = ""
    control_plane: str = ""
    control_plane_version: str = ""
    envoy: str = ""
    unknown: tuple[str, ...] = ()

    def __str__(self) -> str:
        plane = f"{self.control_plane or 'unknown control plane'} {self.control_plane_version}".strip()
        versions = f"Kubernetes {self.kubernetes or '?'}, {plane}, Envoy {self.envoy or '?'}"
        return f"{self.kind}: {versions}"


class Made(msgspec.Struct, frozen=True):
    """When a report was made (RFC 3339), with which versions, in which revision of the tests' repository."""

    time: str
    versions: dict[str, str]
    git: str | None


class Outcome(msgspec.Struct, frozen=True):
    """One case: which test shows it (its id), how that ended, and what it saw.

    `duration_s` is the test's own with its fixtures; `reason` says why it is not supported or was not run; `failure`
    are the first lines of what a failed test says.
    """

    protocol: str
    api: str
    test: str
    verdict: Verdict
    duration_s: float = 0.0
    numbers: dict[str, float] = {}
    reason: str = ""
    failure: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """The test's name as one reads it."""
        name = self.test.rpartition("::")[2].partition("[")[0]
        return re.sub(r"_+", " ", name.removeprefix("test_"))


class Feature(msgspec.Struct, frozen=True):
    """A feature and its cases."""

    name: str
    cases: tuple[Outcome, ...]


class Report(msgspec.Struct, frozen=True):
    """A run of the tests. `cluster` is None where no test has reached one."""

    schema_version: int
    made: Made
    cluster: Cluster | None
    features: tuple[Feature, ...]

    def cases(self) -> Iterator[tuple[Case, Outcome]]:
        """Every case, in the order of the features."""
        for feature in self.features:
            for outcome in feature.cases:
                yield Case(feature.name, outcome.protocol, outcome.api), outcome

    def totals(self) -> dict[Verdict, int]:
        """How many cases have which verdict."""
        counts = Counter(outcome.verdict for _, outcome in self.cases())
        return {verdict: counts[verdict] for verdict in VERDICTS}


class _Version(msgspec.Struct):
    schema_version: int


def assembled(outcomes: dict[Case, Outcome], cluster: Cluster | None, made: Made) -> Report:
    """The report of a run's outcomes: features and APIs by name, protocols in the order of their table."""
    ordered = sorted(outcomes, key=lambda case: (case.feature, list(PROTOCOLS).index(case.protocol), case.api))
    features = tuple(
        Feature(name, tuple(outcomes[case] for case in cases))
        for name, cases in groupby(ordered, key=lambda case: case.feature)
    )
    return Report(SCHEMA_VERSION, made, cluster, features)


def encoded(report: Report) -> bytes:
    """The report as JSON."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"


def read(path: Path) -> Report:
    """The report in a file, or in a folder of that run.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no report, or one that another version of mesh-lab has written; with the file.
    """
    file = path / FILE if path.is_dir() else path
    text = file.read_bytes()
    try:
        version = msgspec.json.decode(text, type=_Version).schema_version
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} is no report of `pytest --mesh-conformance`: {error}") from error
    if version != SCHEMA_VERSION:
        raise ValueError(f"{file} is of schema_version {version}; this mesh-lab reads {SCHEMA_VERSION}")
    try:
        return msgspec.json.decode(text, type=Report)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} is no report of `pytest --mesh-conformance`: {error}") from error
