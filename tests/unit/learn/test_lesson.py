"""A lesson's folder: what it is made of, and what is wrong with it, by file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh_lab.learn.lesson import read
from mesh_lab.learn.problems import BrokenLesson
from tests.unit.learn.folders import TEXT, lesson


def test_a_lesson_has_tasks_hints_and_closing_sections(tmp_path: Path) -> None:
    found = read(lesson(tmp_path / "mine"))
    assert (found.name, found.about.title, found.about.minutes) == ("mine", "A lesson", 5)
    assert [(task.number, task.title, task.hints) for task in found.tasks] == [
        (1, "Give {{share}} %", ("One.", "Two.")),
        (2, "Give all", ()),
    ]
    assert [section.title for section in found.closing] == ["What to remember"]


def test_values_are_filled_into_every_text(tmp_path: Path) -> None:
    found = read(lesson(tmp_path / "mine"))
    filled = found.filled(found.values("learn-mine", {"share": 20}))
    assert (filled.opening, filled.tasks[0].title) == ("What is the case in learn-mine.", "Give 20 %")


BROKEN = [
    (TEXT.replace("minutes: 5", "minutes: five"), 3, "front matter, minutes: Expected `int`, got `str`"),
    (TEXT.replace("minutes: 5\n", ""), 2, "front matter: Object missing required field `minutes`"),
    (TEXT.replace("title: A lesson", "titel: A lesson"), 2, "front matter: Object contains unknown field `titel`"),
    (TEXT.replace("[embedded]", "[moon]"), 4, "front matter, clusters[0]: Invalid enum value 'moon'"),
    (TEXT.replace("clusters: [embedded]", "clusters: [embedded"), 5, "front matter: "),
    (TEXT.replace("- {share: 20}", "- {other: 20}"), 9, "front matter, variants: all variants need the same names"),
    (
        TEXT.replace("{share: ", "{lesson: ").replace("{{share}}", "x"),
        9,
        "front matter, variants: lesson: names of the",
    ),
    (TEXT.replace("---\n", "", 1), 1, "has no front matter"),
    (TEXT.replace("---\nWhat", "What"), 1, "the front matter that begins in line 1 is not closed"),
    (TEXT.replace("What is the case in {{namespace}}.", ""), 1, "there is no text before the first section"),
    (TEXT.replace("## Task 2: Give all", "## Task 3: Give all"), 27, "should be `## Task 2: TITLE`"),
    (TEXT.replace("### Hint\n\nTwo", "### Tip\n\nTwo"), 23, "`### Tip`: a task has sections `### Hint` only"),
    (
        TEXT.replace("{{share}}", "{{sahre}}"),
        15,
        "{{sahre}} is no value of the lesson; it has lesson, namespace, share",
    ),
    (TEXT.replace("## Task 1", "## First 1").replace("## Task 2", "## Second"), 1, "there is no task"),
]


@pytest.mark.parametrize(("text", "line", "what"), BROKEN, ids=[what for _, _, what in BROKEN])
def test_what_is_wrong_is_told_with_file_and_line(tmp_path: Path, text: str, line: int, what: str) -> None:
    folder = lesson(tmp_path / "mine", lesson_md=text)
    with pytest.raises(BrokenLesson) as broken:
        read(folder)
    assert (broken.value.file, broken.value.line) == (folder / "lesson.md", line)
    assert what in broken.value.what
    assert broken.value.message.startswith(f"{folder / 'lesson.md'}:{line}: ")


@pytest.mark.parametrize("missing", ["lesson.md", "checks.py"])
def test_a_missing_file_is_named(tmp_path: Path, missing: str) -> None:
    folder = lesson(tmp_path / "mine")
    (folder / missing).unlink()
    with pytest.raises(BrokenLesson) as broken:
        read(folder)
    assert broken.value.file == folder / missing


@pytest.mark.parametrize("name", ["Mine", "-a", "1st", "a_b", "x" * 31])
def test_a_folder_whose_name_is_none_of_a_lesson_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BrokenLesson, match="is no name of a lesson"):
        read(lesson(tmp_path / name))
