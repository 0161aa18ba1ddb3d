"""A new lesson is complete; what is there already is left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh_lab.errors import LabError
from mesh_lab.learn.checking import load
from mesh_lab.learn.lesson import read, solution_of
from mesh_lab.learn.making import make
from mesh_lab.learn.start import manifests


def test_a_new_lesson_can_be_read_and_has_all_its_parts(tmp_path: Path) -> None:
    make(tmp_path / "mine")
    lesson = read(tmp_path / "mine")
    given = lesson.values("learn-mine", lesson.about.variants[0])
    assert len(load(lesson.folder / "checks.py", len(lesson.tasks)).tasks) == 1
    assert [obj["kind"] for obj in manifests(lesson, solution_of(lesson, 1), given)] == ["VirtualService"]


def test_an_empty_folder_may_be_there(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    make(tmp_path / "mine")
    assert read(tmp_path / "mine").name == "mine"


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    make(tmp_path / "mine")
    (tmp_path / "mine" / "lesson.md").write_text("my words")
    with pytest.raises(LabError, match="is there already"):
        make(tmp_path / "mine")
    assert (tmp_path / "mine" / "lesson.md").read_text() == "my words"


@pytest.mark.parametrize("name", ["My Lesson", "1st", "a_b"])
def test_a_name_that_is_none_of_a_lesson_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(LabError, match="is no name of a lesson") as refused:
        make(tmp_path / name)
    assert refused.value.exit_code == 2
    assert not (tmp_path / name).exists()


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LabError, match="cannot write"):
        make(tmp_path / "file" / "mine")
