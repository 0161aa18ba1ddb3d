"""Checks: what they say of a learner's work, and what is a fault of the lesson instead."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mesh_lab.client.connection import ApiError
from mesh_lab.errors import ConfigurationRejected, LabError
from mesh_lab.learn.checking import Checks, NotYet, Verdict, expect, load, run
from mesh_lab.learn.problems import BrokenLesson
from tests.unit.learn.folders import lesson

HEAD = "def task_2(mesh, given): pass\n"


def checks(tmp_path: Path, body: str = "") -> Checks:
    folder = lesson(tmp_path / "mine", **({"checks_py": HEAD + body} if body else {}))
    return load(folder / "checks.py", 2)


def said(tmp_path: Path, body: str, share: int = 5) -> Verdict:
    found = checks(tmp_path, body)
    mesh: Any = SimpleNamespace(share=share)
    return run(found, found.tasks[0], mesh, {"share": 10})


def test_a_check_that_passes_says_nothing(tmp_path: Path) -> None:
    assert said(tmp_path, "", share=10) == Verdict(True)


def test_a_check_that_fails_says_what_was_seen_expected_and_where_to_look(tmp_path: Path) -> None:
    verdict = said(tmp_path, "", share=5)
    assert verdict == Verdict(False, "5 was seen", "a share", "there")
    assert verdict.words == "seen: 5 was seen\nexpected: a share\nlook at: there"


def test_what_was_expected_innermost_is_told() -> None:
    with pytest.raises(NotYet) as failed, expect("outer", look="o"), expect("inner", look="i"):
        raise AssertionError("seen")
    assert (failed.value.expected, failed.value.look) == ("inner", "i")


def test_time_that_is_up_is_a_verdict() -> None:
    with pytest.raises(NotYet, match="not within 5 s"), expect("something", look="there"):
        raise TimeoutError("not within 5 s")


def test_an_assertion_without_words_is_named_by_its_function(tmp_path: Path) -> None:
    assert said(tmp_path, "def task_1(mesh, given): assert not mesh\n").seen == "task_1 does not hold"


@pytest.mark.parametrize(
    ("body", "line", "what"),
    [
        ("def task_1(mesh, given):\n    return 1 / 0\n", 3, "task_1 raises ZeroDivisionError: division by zero"),
        ("def task_1(mesh, given):\n    return given['x']\n", 3, "task_1 raises KeyError: 'x'"),
        ("def task_1(mesh, given):\n    return f()\ndef f():\n    return [][1]\n", 5, "f raises IndexError"),
    ],
)
def test_a_check_that_raises_is_the_lessons_fault(tmp_path: Path, body: str, line: int, what: str) -> None:
    with pytest.raises(BrokenLesson) as broken:
        said(tmp_path, body)
    assert (broken.value.file.name, broken.value.line) == ("checks.py", line)
    assert what in broken.value.what


@pytest.mark.parametrize(
    ("body", "line", "what"),
    [
        ("def task_1(mesh given): pass\n", 2, "is no Python"),
        ("import no_such_module\n", 2, "raises ModuleNotFoundError"),
        ("task_1 = 5\n", 1, "has no function task_1(mesh, given)"),
        ("def task_0(mesh, given): pass\n", 1, "has no function task_1(mesh, given)"),
    ],
)
def test_checks_that_cannot_be_loaded_are_the_lessons_fault(tmp_path: Path, body: str, line: int, what: str) -> None:
    with pytest.raises(BrokenLesson) as broken:
        checks(tmp_path, body)
    assert (broken.value.file.name, broken.value.line) == ("checks.py", line)
    assert what in broken.value.what


@pytest.mark.parametrize(
    "error", [LookupError("no pod of client"), ApiError(404, "not found", reason="NotFound", request="GET /")]
)
def test_what_is_missing_in_the_cluster_is_neither_a_verdict_nor_the_lessons_fault(
    tmp_path: Path, error: Exception
) -> None:
    found = checks(tmp_path)

    def check(mesh: Any, given: Any) -> None:
        raise error

    with pytest.raises(LabError) as missing:
        run(found, check, SimpleNamespace(), {})  # type: ignore[arg-type]
    assert not isinstance(missing.value, BrokenLesson)
    assert "mesh-lab learn reset" in missing.value.hint


def test_a_configuration_that_a_proxy_rejects_is_a_verdict(tmp_path: Path) -> None:
    found = checks(tmp_path)

    def check(mesh: Any, given: Any) -> None:
        raise ConfigurationRejected("VirtualService shop: NACK")

    verdict = run(found, check, SimpleNamespace(), {})  # type: ignore[arg-type]
    assert (verdict.passed, verdict.seen) == (False, "VirtualService shop: NACK")


def test_no_compiled_file_is_left_in_a_lesson(tmp_path: Path) -> None:
    checks(tmp_path)
    assert not list((tmp_path / "mine").rglob("*.pyc"))
