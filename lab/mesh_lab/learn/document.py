"""The text of a lesson: front matter, an introduction, and sections, as Markdown has them.

Headings within fenced blocks are none (https://spec.commonmark.org/current/#fenced-code-blocks).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_FENCE = re.compile(r" {0,3}(?P<mark>`{3,}|~{3,})")
_RULE = "---"


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, the line (from 1) that it stands in, and the text below it up to the next of its level.

    Blank lines at either end of the text are left out; `begins` is the line of its first.
    """

    title: str
    line: int
    text: str
    begins: int


@dataclass(frozen=True, slots=True)
class Document:
    """A whole text: its front matter (YAML; empty for none), what comes before the first section, and the sections."""

    front: str
    opening: str
    sections: tuple[Section, ...]


def parse(text: str) -> Document:
    """Read a text.

    Raises:
        ValueError: the front matter is not closed.
    """
    front, begins, body = _front(text.splitlines())
    opening, sections = split(body, "## ", begins)
    return Document(front, opening, sections)


def split(lines: Iterable[str], mark: str, begins: int) -> tuple[str, tuple[Section, ...]]:
    """The text before the first heading that begins with `mark`, and the sections; `begins` is the first line's number.

    Blank lines at either end of a text are left out.
    """
    opening: list[str] = []
    found: list[tuple[str, int, list[str]]] = []
    for number, line, fenced in _numbered(lines, begins):
        if line.startswith(mark) and not fenced:
            found.append((line[len(mark) :].strip(), number, []))
        else:
            (found[-1][2] if found else opening).append(line)
    return "\n".join(opening).strip("\n"), tuple(_section(*each) for each in found)


def _section(title: str, line: int, lines: list[str]) -> Section:
    text = "\n".join(lines)
    blank = len(text) - len(text.lstrip("\n"))
    return Section(title, line, text.strip("\n"), line + 1 + blank)


def _front(lines: list[str]) -> tuple[str, int, list[str]]:
    if not lines or lines[0].rstrip() != _RULE:
        return "", 1, lines
    for index, line in enumerate(lines[1:], 1):
        if line.rstrip() == _RULE:
            return "\n".join(lines[1:index]), index + 2, lines[index + 1 :]
    raise ValueError("the front matter that begins in line 1 is not closed by a line `---`")


def _numbered(lines: Iterable[str], begins: int) -> Iterator[tuple[int, str, bool]]:
    """Each line with its number, and whether it is within a fenced block."""
    fence = ""
    for number, line in enumerate(lines, begins):
        found = _FENCE.match(line)
        if not fence and found:
            fence = found["mark"]
            yield number, line, True
        elif fence and found and found["mark"].startswith(fence) and not line.strip().strip(fence[0]):
            fence = ""
            yield number, line, True
        else:
            yield number, line, bool(fence)
