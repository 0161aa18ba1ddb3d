"""The load run's command line and what it tells locust."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lab.harness import load
from lab.harness.load import Settings, main, print_summary

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
    """An API that answers nothing, but counts what was asked to be removed."""


def test_what_was_made_is_removed_when_the_run_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr(load, "remove", lambda _: done.append("remove"))
    monkeypatch.setattr(load, "deploy", lambda *_: done.append("deploy"))

    def fail(*_: object) -> dict[str, Any]:
        raise load.LoadFailed("locust ended")

    monkeypatch.setattr(load, "follow", fail)
    with pytest.raises(load.LoadFailed):
        load.run(Unreachable(), SETTINGS, Path("reports"))  # type: ignore[arg-type]
    assert done == ["remove", "deploy", "remove"]
