"""What a load run tells locust, and what it leaves when it fails."""

from __future__ import annotations

import errno
import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from mesh_lab.load import run as load
from mesh_lab.load.marks import Marks
from mesh_lab.load.observing import Observer
from mesh_lab.load.settings import Settings
from mesh_lab.load.usage import Usage

API: Any = None
"""It is not asked."""
SETTINGS = Settings("ramp", 20, 5.0, 30.0, 2, "http://gateway", 250.0, 0.0, ui=False)


def quiet(_line: str) -> None:
    """Listen to nothing."""


def test_a_headless_run_is_bounded_and_has_its_limits() -> None:
    environment = SETTINGS.environment()
    assert environment["LOCUST_HEADLESS"] == "true"
    assert (environment["LOCUST_RUN_TIME"], environment["LOCUST_EXPECT_WORKERS"]) == ("30s", "2")
    assert json.loads(environment["LOAD_LIMITS"]) == ["p99>250ms", "errors>0"]


def test_reports_that_cannot_be_written_are_reported_before_the_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def no(*_: object) -> None:
        raise AssertionError("it has begun")

    monkeypatch.setattr(load.claim, "take", no)
    (tmp_path / "file").touch()
    with pytest.raises(load.LoadFailed, match=f"cannot write to {tmp_path}/file/reports: Not a directory"):
        load.run(API, SETTINGS, tmp_path / "file" / "reports", quiet)


def test_a_disk_that_is_full_at_the_end_is_reported_and_what_was_made_is_removed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    done: list[str] = []
    monkeypatch.setattr(load.claim, "take", lambda *_, **__: done.append("take"))
    monkeypatch.setattr(load.claim, "held", lambda *_: True)
    monkeypatch.setattr(load, "remove", lambda *_: done.append("remove"))
    monkeypatch.setattr(load, "deploy", lambda *_: done.append("deploy"))
    monkeypatch.setattr(load, "observed", lambda *_: nullcontext(Observer(Marks(API), Usage(API, 1))))
    monkeypatch.setattr(load, "probe", lambda *_: None)
    monkeypatch.setattr(load, "follow", lambda *_: {"broken_limits": []})

    def fetch(_api: object, reports: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(reports / "load.html"))

    monkeypatch.setattr(load, "fetch", fetch)
    with pytest.raises(load.LoadFailed, match=f"cannot write to {tmp_path}/load.html: No space left on device"):
        load.run(API, SETTINGS, tmp_path, quiet)
    assert done == ["take", "deploy", "remove"]


def test_what_was_made_is_removed_when_the_run_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    done: list[str] = []
    monkeypatch.setattr(load.claim, "take", lambda *_, **__: done.append("take"))
    monkeypatch.setattr(load.claim, "held", lambda *_: True)
    monkeypatch.setattr(load, "remove", lambda *_: done.append("remove"))
    monkeypatch.setattr(load, "deploy", lambda *_: done.append("deploy"))
    monkeypatch.setattr(load, "observed", lambda *_: nullcontext(Observer(Marks(API), Usage(API, 1))))
    monkeypatch.setattr(load, "probe", lambda *_: None)

    def fail(*_: object) -> dict[str, Any]:
        raise load.LoadFailed("locust ended")

    monkeypatch.setattr(load, "follow", fail)
    with pytest.raises(load.LoadFailed):
        load.run(API, SETTINGS, tmp_path, quiet)
    assert done == ["take", "deploy", "remove"]


def test_a_run_that_was_replaced_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(load.claim, "take", lambda *_, **__: None)
    monkeypatch.setattr(load.claim, "held", lambda *_: False)
    monkeypatch.setattr(load, "deploy", lambda *_: None)
    monkeypatch.setattr(load, "observed", lambda *_: nullcontext(Observer(Marks(API), Usage(API, 1))))
    monkeypatch.setattr(load, "probe", lambda *_: None)

    def fail(*_: object) -> dict[str, Any]:
        raise load.LoadFailed("locust ended")

    monkeypatch.setattr(load, "follow", fail)
    with pytest.raises(load.LoadFailed, match="another load run has ended this one"):
        load.run(API, SETTINGS, tmp_path, quiet)


def test_the_page_is_at_an_address_where_its_port_answers() -> None:
    def found(**port: str) -> list[str]:
        ingress = {"ip": "127.80.0.4", "ports": [{"port": 8089, "protocol": "TCP", **port}]}
        return load._addresses({"locust-ui": {"status": {"loadBalancer": {"ingress": [ingress]}}}})

    assert found() == ["127.80.0.4"]
    assert found(error="PortTaken") == []


def test_the_second_half_of_a_soak_is_held_against_the_first() -> None:
    def window(latency: int, odd: int) -> dict[str, Any]:
        latencies = [(latency, 90 + odd), (latency * 2, 10)]
        return {"seconds": 1, "requests": 100 + odd, "failures": 0, "latencies_ms": latencies, "versions": {}}

    slower = [window(10, index % 3) for index in range(20)] + [window(20, index % 3) for index in range(20)]
    verdicts = {each["figure"]: each["verdict"] for each in load.trend(slower)}
    assert (verdicts["p50"], verdicts["requests/s"]) == ("worse", "no difference shown")
    assert load.trend(slower[:9]) == []


def test_a_run_without_plotly_has_all_but_its_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(load.page, "missing", lambda: ["plotly"])
    load._write(tmp_path, {"windows": [], "marks": []})
    assert {file.name for file in tmp_path.iterdir()} == {"load.json", "windows.csv"}
    lines = list(load.figures.summary(FIGURES, tmp_path))
    assert "no report.html, for plotly is missing (mesh-lab[load])" in lines[-1]


FIGURES = {
    "requests": 9,
    "seconds": 1.0,
    "requests_per_second": 9.0,
    "p50_ms": 5,
    "p90_ms": 5,
    "p99_ms": 5,
    "failures": 0,
    "error_ratio": 0.0,
    "versions": {},
}
