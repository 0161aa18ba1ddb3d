"""What a rollout writes where plotly is missing, and what its page escapes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mesh_lab.rollout import report
from mesh_lab.rollout.page import page

FOUND: dict[str, Any] = {
    "verdict": "promoted",
    "resumed_at": None,
    "trouble": "",
    "bounds": {"bad_above": 8.7, "good_below": -6.9},
    "steps": [],
    "rollout": {"route": "virtualservice/<shop>"},
    "made": {"time": "now", "git": None, "versions": {}},
}


def test_without_plotly_there_is_no_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "missing", lambda: ["plotly"])
    assert report.write(tmp_path / "new", FOUND) == tmp_path / "new" / "rollout.json"
    assert not (tmp_path / "new" / "report.html").exists()


def test_what_comes_from_a_file_is_escaped() -> None:
    assert "<shop>" not in page(FOUND)
