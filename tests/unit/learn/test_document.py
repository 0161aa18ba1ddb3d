"""The text of a lesson is read as Markdown has it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh_lab.learn.document import parse, split


def test_front_matter_opening_and_sections_are_told_apart() -> None:
    found = parse("---\na: 1\n---\nfirst\n\n## One\n\ntext\n\n## Two\nmore\n")
    assert (found.front, found.opening) == ("a: 1", "first")
    assert [(each.title, each.line, each.text) for each in found.sections] == [("One", 6, "text"), ("Two", 10, "more")]


def test_without_front_matter_all_is_text() -> None:
    assert parse("text\n## One\n").front == ""


def test_front_matter_that_is_not_closed_is_refused() -> None:
    with pytest.raises(ValueError, match="is not closed"):
        parse("---\na: 1\n")


@pytest.mark.parametrize("fence", ["```", "~~~", "````"])
def test_a_heading_in_a_fenced_block_is_none(fence: str) -> None:
    found = parse(f"{fence}sh\n## a comment of a shell\n{fence}\n## One\n")
    assert [each.title for each in found.sections] == ["One"]


def test_a_longer_fence_holds_a_shorter_one() -> None:
    found = parse("````\n```\n## no\n```\n````\n## yes\n")
    assert [each.title for each in found.sections] == ["yes"]


LINES = st.lists(st.sampled_from(["text", "", "## One", "### Hint", "```", "~~~", "    ```", "#### x", "``` sh"]))


@given(LINES, st.integers(1, 50))
def test_no_line_is_lost_and_each_section_knows_its_line(lines: list[str], begins: int) -> None:
    opening, sections = split(lines, "## ", begins)
    for section in sections:
        assert lines[section.line - begins] == f"## {section.title}"
        first = section.text.splitlines()[:1]
        assert lines[section.begins - begins :][: len(first)] == first
    kept = [line for text in (opening, *(each.text for each in sections)) for line in text.splitlines() if line]
    assert kept == [
        line for number, line in enumerate(lines, begins) if line and number not in {s.line for s in sections}
    ]
