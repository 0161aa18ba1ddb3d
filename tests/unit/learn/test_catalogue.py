"""Which lessons there are; those that are broken do not hide the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh_lab.errors import LabError
from mesh_lab.learn import catalogue
from mesh_lab.learn.problems import BrokenLesson
from mesh_lab.learn.variants import choose
from mesh_lab.resources import LESSONS
from tests.unit.learn.folders import TEXT, lesson

COURSE = catalogue.course()
NAMES = [each.name for each in COURSE]


def test_lessons_come_in_the_order_of_their_numbers_and_broken_ones_last(tmp_path: Path) -> None:
    lesson(tmp_path / "b", lesson_md=TEXT.replace("minutes: 5", "minutes: 5\nnumber: 1"))
    lesson(tmp_path / "a", lesson_md=TEXT.replace("minutes: 5", "minutes: 5\nnumber: 2"))
    lesson(tmp_path / "broken", lesson_md="nothing")
    (tmp_path / "notes").mkdir()
    found = catalogue.course(tmp_path)
    assert [each.name for each in found] == ["b", "a", "broken"]
    assert [each.broken is None for each in found] == [True, True, False]
    assert catalogue.find("a", tmp_path).name == "a"
    with pytest.raises(BrokenLesson):
        catalogue.find("broken", tmp_path)


def test_a_lesson_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    lesson(tmp_path / "a")
    with pytest.raises(LabError) as told:
        catalogue.find("x", tmp_path)
    assert (told.value.exit_code, told.value.hint.startswith("Known: a.")) == (2, True)


def test_a_folder_is_named_by_its_path(tmp_path: Path) -> None:
    assert catalogue.find(str(lesson(tmp_path / "mine"))).folder == tmp_path / "mine"
    with pytest.raises(LabError, match="there is no folder"):
        catalogue.find(str(tmp_path / "nowhere"))


def test_a_folder_may_not_be_named_as_a_lesson_of_the_course(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="the course has a lesson 'canary'"):
        catalogue.find(str(lesson(tmp_path / "canary")))


def test_no_lesson_of_the_course_is_broken() -> None:
    assert [str(each.broken) for each in COURSE if each.broken] == []
    assert len(NAMES) >= 10


@pytest.mark.parametrize("name", NAMES)
def test_each_lesson_has_what_the_course_promises(name: str) -> None:
    found = catalogue.find(name)
    assert 5 <= found.about.minutes <= 20
    assert "```mermaid" in found.opening
    assert [section.title for section in found.closing] == ["What happens underneath", "What to remember"]
    assert "```sh" in found.closing[0].text, "what happens underneath is shown by commands"
    assert all(task.hints for task in found.tasks)
    assert len(found.about.variants) >= 3
    assert len(list((LESSONS / name / "wrong").glob("*.yaml"))) >= 3
    neighbours = [choose(found.about.variants, seed, name) for seed in ("ann", "bob", "cid", "dan", "eve", "fay")]
    assert len({tuple(each.items()) for each in neighbours}) > 1


def test_what_a_lesson_needs_comes_before_it_in_the_course() -> None:
    numbers = {each.name: each.lesson.about.number for each in COURSE if each.lesson}
    assert len(set(numbers.values())) == len(numbers)
    for name, number in numbers.items():
        for needed in catalogue.find(name).about.needs:
            assert numbers[needed] < number, f"{name} needs {needed}"
