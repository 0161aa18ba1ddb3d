"""The load run's command line and what it tells locust."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from mesh_lab.harness import load
from mesh_lab.harness.load import Settings, main, print_summary

SETTINGS = Settings("ramp", 20, 5.0, 30.0, 2, "http://gateway", 250.0, 0.0, ui=False)


def test_a_headless_run_is_bounded_and_has_its_limits() -> None:
    environment = SETTINGS.environment()
    assert environment["LOCUST_HEADLESS"] == "true"
    assert (environment["LOCUST_RUN_TIME"], environment["LOCUST_EXPECT_WORKERS"]) == ("30s", "2")
    assert (environment["LOAD_MAX_P99_MS"], environment["LOAD_MAX_ERROR_RATIO"]) == ("250", "0")


@pytest.mark.parametrize(
    "arguments", [[], ["--kubeconfig", "x", "--users", "0"], ["--kubeconfig", "x", "--shape", "wave"]]
)
def test_wrong_usage_exits_with_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    with pytest.raises(SystemExit) as raised:
        main(arguments)
    assert raised.value.code == 2
    assert "error:" in capsys.readouterr().err


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
    ],
)
def test_an_impossible_value_is_refused_by_the_name_of_its_option(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["--kubeconfig", "x", option])
    assert raised.value.code == 2
    name, _, value = option.partition("=")
    assert f"error: argument {name}: '{value}' is not" in capsys.readouterr().err


def test_reports_that_cannot_be_written_are_told_before_the_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def no(*_: object) -> None:
        raise AssertionError("it has begun")

    monkeypatch.setattr(load.claim, "take", no)
    (tmp_path / "file").touch()
    with pytest.raises(load.LoadFailed, match=f"cannot write to {tmp_path}/file/reports: Not a directory"):
        load.run(Unreachable(), SETTINGS, tmp_path / "file" / "reports")  # type: ignore[arg-type]


def test_a_disk_that_is_full_at_the_end_is_told_and_what_was_made_is_removed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    done: list[str] = []
    monkeypatch.setattr(load.claim, "take", lambda *_, **__: done.append("take"))
    monkeypatch.setattr(load.claim, "held", lambda *_: True)
    monkeypatch.setattr(load, "remove", lambda *_: done.append("remove"))
    monkeypatch.setattr(load, "deploy", lambda *_: done.append("deploy"))
    monkeypatch.setattr(load, "follow", lambda *_: {})

    def fetch(_mesh: object, reports: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(reports / "load.html"))

    monkeypatch.setattr(load, "fetch", fetch)
    with pytest.raises(load.LoadFailed, match=f"cannot write to {tmp_path}/load.html: No space left on device"):
        load.run(Unreachable(), SETTINGS, tmp_path)  # type: ignore[arg-type]
    assert done == ["take", "deploy", "remove"]


def test_a_young_run_shows_its_mean_rate(capsys: pytest.CaptureFixture[str]) -> None:
    """Locust's current rate is of the ten seconds before the last two, which there are not yet."""
    figures = {"users": 5, "failures": 0, "p50_ms": 5, "p99_ms": 9, "requests_per_second": 80.0}
    for seconds, current in ((1.0, 0.0), (4.0, 51.0), (15.0, 99.0)):
        load.print_progress(figures | {"seconds": seconds, "current_requests_per_second": current})
    assert [line.split()[4] for line in capsys.readouterr().out.splitlines()] == ["80.0", "80.0", "99.0"]


def test_an_interrupted_run_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(load, "Api", lambda *_: None)
    monkeypatch.setattr(load, "run", interrupted)
    assert main(["--kubeconfig", "x"]) == 1
    assert capsys.readouterr().err == "mesh-lab load: interrupted; locust is removed\n"


def test_a_missing_kubeconfig_is_a_clear_error(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["--kubeconfig", str(tmp_path / "none")]) == 1
    assert f"cannot read the kubeconfig {tmp_path}/none" in capsys.readouterr().err


def test_the_summary_names_shares_and_broken_limits(capsys: pytest.CaptureFixture[str]) -> None:
    figures: dict[str, Any] = {
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
    print_summary(figures, Path("reports"))
    printed = capsys.readouterr()
    assert "v1 75.0% (75), v3 25.0% (25)" in printed.out
    assert "limit broken: error_ratio is 0.01" in printed.err


class Unreachable:
    """A mesh whose API is not asked."""

    api = None


def test_what_was_made_is_removed_when_the_run_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    done: list[str] = []
    monkeypatch.setattr(load.claim, "take", lambda *_, **__: done.append("take"))
    monkeypatch.setattr(load.claim, "held", lambda *_: True)
    monkeypatch.setattr(load, "remove", lambda *_: done.append("remove"))
    monkeypatch.setattr(load, "deploy", lambda *_: done.append("deploy"))

    def fail(*_: object) -> dict[str, Any]:
        raise load.LoadFailed("locust ended")

    monkeypatch.setattr(load, "follow", fail)
    with pytest.raises(load.LoadFailed):
        load.run(Unreachable(), SETTINGS, tmp_path)  # type: ignore[arg-type]
    assert done == ["take", "deploy", "remove"]


def test_a_run_that_was_replaced_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(load.claim, "take", lambda *_, **__: None)
    monkeypatch.setattr(load.claim, "held", lambda *_: False)
    monkeypatch.setattr(load, "deploy", lambda *_: None)

    def fail(*_: object) -> dict[str, Any]:
        raise load.LoadFailed("locust ended")

    monkeypatch.setattr(load, "follow", fail)
    with pytest.raises(load.LoadFailed, match="another load run has ended this one"):
        load.run(Unreachable(), SETTINGS, tmp_path)  # type: ignore[arg-type]
