"""`mesh-lab learn`, as a person types it, where no lab is up."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mesh_lab.learn.catalogue import names
from tests.unit.cli.running import run
from tests.unit.cli.test_completion import kubectl, plugin
from tests.unit.learn.folders import lesson

__all__ = ["plugin"]


def test_the_lessons_are_listed_without_a_lab(tmp_path: Path) -> None:
    outcome = run(tmp_path, "learn")
    assert (outcome.code, outcome.err) == (0, "")
    for name in names():
        assert f"  {name} " in outcome.out
    rows = json.loads(run(tmp_path, "learn", "-o", "json").out)
    assert {row["name"] for row in rows} == set(names())
    assert {row["state"] for row in rows} == {"new"}


def test_a_lesson_shows_its_text_and_then_that_the_lab_is_not_up(tmp_path: Path) -> None:
    outcome = run(tmp_path, "learn", "canary")
    assert outcome.code == 1
    assert outcome.out.startswith("# Percentages")
    assert "is not up" in outcome.err
    assert "mesh-lab up" in outcome.err


def test_hints_and_solutions_need_no_lab(tmp_path: Path) -> None:
    run(tmp_path, "learn", "canary", "--seed", "x")
    assert "Hint 1 of 3" in run(tmp_path, "learn", "hint").out
    assert "Hint 2 of 3" in run(tmp_path, "learn", "hint").out
    assert "kind: VirtualService" in run(tmp_path, "learn", "solution").out
    assert "Task 1 of 2" in run(tmp_path, "learn", "task").out
    assert "* " in next(line for line in run(tmp_path, "learn").out.splitlines() if "canary" in line)


@pytest.mark.parametrize(
    ("words", "code", "what"),
    [
        (("no-such",), 2, "there is no lesson 'no-such'"),
        (("./nowhere",), 2, "there is no folder ./nowhere"),
        (("check",), 1, "no lesson has been begun"),
        (("check", "canary"), 1, "the lesson canary has not been begun"),
        (("hint",), 1, "no lesson has been begun"),
        (("-o", "yaml"), 2, "unknown output format 'yaml'"),
        (("--learner", "Ann Lee"), 2, "is no name of a learner"),
        (("new", "My Lesson"), 2, "is no name of a lesson"),
    ],
)
def test_what_is_wrong_is_told_in_two_lines(tmp_path: Path, words: tuple[str, ...], code: int, what: str) -> None:
    outcome = run(tmp_path, "learn", *words)
    assert (outcome.code, what in outcome.err) == (code, True), outcome.err
    assert "Traceback" not in outcome.err
    assert len(outcome.err.splitlines()) == 2 or code == 2


def test_a_broken_lesson_of_ones_own_is_told_with_its_line(tmp_path: Path) -> None:
    lesson(tmp_path / "mine", lesson_md="---\ntitle: Mine\nminutes: x\n---\n")
    outcome = run(tmp_path, "learn", "./mine")
    assert outcome.code == 1
    assert f"{tmp_path / 'mine' / 'lesson.md'}:3: front matter, minutes" in outcome.err


def test_a_new_lesson_says_how_to_go_on(tmp_path: Path) -> None:
    outcome = run(tmp_path, "learn", "new", "mine")
    assert (outcome.code, outcome.err) == (0, "")
    assert "mesh-lab learn test ./mine" in outcome.out
    assert (tmp_path / "mine" / "wrong").is_dir()


def test_the_list_imports_neither_the_api_nor_rich() -> None:
    program = (
        "import sys; from mesh_lab.cli.app import app; app(['learn'], standalone_mode=False); "
        "print([name for name in ('rich', 'cryptography', 'mesh_lab.client.api') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_commands_and_lessons_are_completed(plugin: dict[str, str]) -> None:
    begun = time.monotonic()
    done = kubectl(plugin, "__complete", "mesh-lab", "learn", "c")
    assert [line.split("\t")[0] for line in done.stdout.splitlines() if line] == ["check", "canary", ":0"]
    done = kubectl(plugin, "__complete", "mesh-lab", "learn", "check", "mt")
    assert done.stdout.split() == ["mtls", ":0"]
    assert time.monotonic() - begun < 30
