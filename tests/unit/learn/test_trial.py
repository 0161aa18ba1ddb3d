"""A trial finds what is wrong with a lesson: checks that pass all, or fail with words that are no help."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mesh_lab.client.objects import Object
from mesh_lab.learn import trial
from mesh_lab.learn.checking import Verdict
from mesh_lab.learn.lesson import Lesson, read
from mesh_lab.learn.problems import BrokenLesson
from mesh_lab.learn.start import manifests
from tests.unit.learn.folders import OBJECT, TEXT, lesson

ONE_TASK = TEXT[: TEXT.index("## Task 2")]
CHECKS = "def task_1(mesh, given): pass\n"
GIVEN = {"share": 10, "namespace": "learn-mine", "lesson": "mine"}


def wrong(share: str, says: str) -> str:
    return f"# says: {says}\n" + OBJECT.replace("{{share}}", share)


WRONG = {
    "wrong__a_yaml": wrong("1", "saw 1"),
    "wrong__b_yaml": wrong("2", "saw 2"),
    "wrong__c_yaml": wrong("3", "saw {{share}} | saw 3"),
}


def made(tmp_path: Path, **files: str) -> Lesson:
    content = {"lesson_md": ONE_TASK, "checks_py": CHECKS, **WRONG, **files}
    return read(lesson(tmp_path / "mine", **content))


def verdict(share: str) -> Verdict:
    """What a right check says of a share that was seen."""
    return Verdict(True) if share == "10" else Verdict(False, f"saw {share}", "10", "there")


class Stand:
    """In the place of a namespace: it holds one share, which `check` judges."""

    def __init__(self, lesson: Lesson, judge: Callable[[str], Verdict]) -> None:
        self.lesson = lesson.filled(GIVEN)
        self.given = GIVEN
        self._judge = judge
        self._share = "none"

    def set_up(self) -> None:
        self._share = "none"

    def solution(self, folder: str | Path) -> list[Object]:
        return manifests(self.lesson, str(folder), self.given)

    def apply(self, objects: list[Object]) -> None:
        self._share = objects[0]["data"]["share"]

    def check(self, _number: int) -> Verdict:
        return self._judge(self._share)


def run(lesson: Lesson, judge: Callable[[str], Verdict]) -> list[str]:
    told: list[str] = []
    place: Any = Stand(lesson, judge)
    trial.run(place, told.append)
    return told


def test_a_lesson_that_is_right_is_told_step_by_step(tmp_path: Path) -> None:
    told = run(made(tmp_path), verdict)
    assert [line.split(":")[0].strip() for line in told] == [
        "task 1, the untouched start",
        "task 1, wrong/a.yaml",
        "task 1, wrong/b.yaml",
        "task 1, wrong/c.yaml",
        "task 1, solution",
    ]


@pytest.mark.parametrize(
    ("judge", "what"),
    [
        (lambda _: Verdict(True), "the untouched start passes, and has to fail"),
        (lambda share: Verdict(True) if share == "2" else verdict(share), "wrong/b.yaml passes, and has to fail"),
        (lambda share: Verdict(False, f"saw {share}", "10", "there"), "the solution fails"),
        (lambda share: verdict(share) if share == "10" else Verdict(False, "no", "10", "there"), "has to say 'saw 1'"),
        (lambda share: verdict(share) if share == "10" else Verdict(False, f"saw {share}"), "neither what it expected"),
        (
            lambda share: verdict(share) if share == "10" else Verdict(False, f"saw {share}, saw 1", "10", "there"),
            "of wrong/b.yaml the check must not say 'saw 1'",
        ),
    ],
)
def test_a_check_that_is_not_right_is_found(tmp_path: Path, judge: Callable[[str], Verdict], what: str) -> None:
    with pytest.raises(trial.TrialFailed) as found:
        run(made(tmp_path), judge)
    assert what in str(found.value)


@pytest.mark.parametrize(
    ("files", "what"),
    [
        ({"wrong__b_yaml": OBJECT}, "has no line `# says: WORDS`"),
        ({"wrong__b_yaml": wrong("2", "saw 1")}, "another wrong solution says 'saw 1' as well"),
        ({"wrong__b_yaml": "# task: 5\n" + wrong("2", "x")}, "`# task: 5`: the lesson has 1 tasks"),
    ],
)
def test_wrong_solutions_that_are_none_are_told(tmp_path: Path, files: dict[str, str], what: str) -> None:
    with pytest.raises(BrokenLesson) as broken:
        run(made(tmp_path, **files), verdict)
    assert what in broken.value.what


def test_another_right_way_has_to_pass(tmp_path: Path) -> None:
    other = OBJECT.replace("{{share}}", "10.0")
    found = made(tmp_path, right__other_yaml=other)
    with pytest.raises(trial.TrialFailed, match=r"right/other\.yaml fails, and is right"):
        run(found, verdict)
    told = run(found, lambda share: Verdict(True) if share == "10.0" else verdict(share))
    assert "task 1, right/other.yaml" in told[-2]


def test_two_wrong_solutions_are_too_few(tmp_path: Path) -> None:
    found = made(tmp_path)
    (found.folder / "wrong" / "c.yaml").unlink()
    with pytest.raises(BrokenLesson, match="has 2 files"):
        run(found, verdict)


def test_words_are_found_across_lines() -> None:
    mutant = trial.Mutant(Path("a.yaml"), 1, "saw 1 of 2")
    assert mutant.said_in(Verdict(False, "it saw 1\n  of 2 pods", "", ""))


def test_the_place_of_a_trial_is_deleted_whatever_comes_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    removed: list[str] = []

    class Place(Stand):
        def __init__(self, _api: Any, lesson: Lesson, given: Any, *_: Any) -> None:
            super().__init__(lesson, lambda _: Verdict(True))

        def remove(self) -> None:
            removed.append(self.lesson.name)

    monkeypatch.setattr(trial, "Place", Place)
    api: Any = SimpleNamespace()
    images: Any = SimpleNamespace()
    with pytest.raises(trial.TrialFailed):
        trial.of(api, made(tmp_path), "", images, lambda _: None)
    assert removed == ["mine"]
