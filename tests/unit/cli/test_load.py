"""`mesh-lab load`: its options, and how a run's end is reported."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from mesh_lab.cli import load as command
from mesh_lab.errors import LabError
from mesh_lab.load.settings import TARGET, Settings
from mesh_lab.settings import Lab, load
from tests.unit.cli.running import run

SETTINGS = Settings("ramp", 20, 5.0, 30.0, 2, "", 250.0, 0.0, ui=False)
FIGURES = {
    "requests": 100,
    "seconds": 10.0,
    "requests_per_second": 10.0,
    "p50_ms": 5,
    "p90_ms": 9,
    "p99_ms": 20,
    "failures": 1,
    "error_ratio": 0.01,
    "versions": {"v1": 75, "v3": 25},
    "broken_limits": ["error_ratio is 0.01, the limit is 0"],
}


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """A lab whose API is not asked; the signal's handler is put back."""
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(command, "connect", lambda _: nullcontext())
    yield load(tmp_path, {})
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(
    "option",
    [
        "--users=0",
        "--users=1.5",
        "--workers=0",
        "--duration=0",
        "--duration=inf",
        "--duration=soon",
        "--spawn-rate=0",
        "--spawn-rate=-1",
        "--max-p99-ms=0",
        "--max-p99-ms=nan",
        "--max-error-ratio=1.5",
        "--max-error-ratio=-0.1",
        "--target=istio-ingressgateway",
        "--target=tcp://echo",
        "--target=grpc://echo:80/Check",
        "--rate=0",
        "--rate=-1",
        "--rate=many",
        "--steps=0",
        "--shape=wave",
    ],
)
def test_an_impossible_value_is_refused_by_the_name_of_its_option(tmp_path: Path, option: str) -> None:
    outcome = run(tmp_path, "load", option)
    assert outcome.code == 2
    assert f"Invalid value for '{option.partition('=')[0]}'" in outcome.err


def test_broken_limits_are_reported_and_are_a_failure(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "run", lambda *_: FIGURES)
    with pytest.raises(SystemExit) as ended:
        command.load(lab, SETTINGS, reports=Path("reports"), output="text")
    assert ended.value.code == 1
    printed = capsys.readouterr()
    assert "v1 75.0% (75), v3 25.0% (25)" in printed.out
    assert printed.err == "limit broken: error_ratio is 0.01, the limit is 0\n"


def test_json_is_all_that_standard_output_has(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def made(_api: object, settings: Settings, _reports: Path, report: Any) -> dict[str, Any]:
        assert settings.target == TARGET
        report("starting locust")
        return FIGURES | {"broken_limits": []}

    monkeypatch.setattr(command, "run", made)
    command.load(lab, SETTINGS, reports=Path("there"), output="json")
    printed = capsys.readouterr()
    assert json.loads(printed.out) == FIGURES | {"broken_limits": [], "reports": "there"}
    assert printed.err == "starting locust\n"


def test_an_interrupted_run_says_so(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "run", interrupted)
    with pytest.raises(LabError, match="interrupted; locust is removed"):
        command.load(lab, SETTINGS, reports=Path("reports"), output="text")


def test_without_locust_it_says_what_to_install(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mesh_lab.load.settings.find_spec", lambda _: None)
    with pytest.raises(LabError) as failure:
        command.load(lab, SETTINGS, reports=Path("reports"), output="text")
    assert failure.value.message == "mesh-lab load needs locust: install mesh-lab[load]"
    assert "pip install locust" in failure.value.hint
    assert failure.value.exit_code == 1
