"""A lesson: a folder with its text, its start, its checks, its solution, and three wrong solutions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from mesh_lab.learn import document
from mesh_lab.learn.document import Document, Section
from mesh_lab.learn.problems import BrokenLesson
from mesh_lab.learn.variants import Given, UnknownValue, Value, fill

TEXT, CHECKS, START = "lesson.md", "checks.py", "start"
SOLUTION, RIGHT, WRONG = "solution", "right", "wrong"
HINT = "Hint"
NAME_PATTERN = r"^[a-z]([-a-z0-9]{0,28}[a-z0-9])?$"
OWN_VALUES = ("namespace", "lesson")
"""Values that every lesson has besides those of its variants."""

_TASK = re.compile(r"Task (?P<number>\d+): (?P<title>.+)")
_FIELD = re.compile(r" - at `(?P<path>[^`]+)`$")
_Name = Annotated[str, msgspec.Meta(pattern=NAME_PATTERN)]


class Server(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An echo server of the start: its versions, pods of each, and whether its pods have sidecars."""

    versions: Annotated[tuple[_Name, ...], msgspec.Meta(min_length=1)] = ("v1",)
    replicas: Annotated[int, msgspec.Meta(ge=0, le=10)] = 1
    sidecar: bool = True


class Client(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A traffic client of the start; with `capture` it can look at its pod's packets."""

    sidecar: bool = True
    capture: bool = False


class About(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The front matter. `number` is the place in the course, `needs` are lessons that should come before.

    `injection` is the namespace's label for sidecars; "unset" leaves it to the pods' own.
    """

    title: Annotated[str, msgspec.Meta(min_length=3, max_length=80)]
    minutes: Annotated[int, msgspec.Meta(ge=1, le=60)]
    clusters: Annotated[tuple[Literal["embedded", "kind", "existing"], ...], msgspec.Meta(min_length=1)]
    number: Annotated[int, msgspec.Meta(ge=1, le=99)] = 99
    needs: tuple[str, ...] = ()
    servers: dict[_Name, Server] = {}
    clients: dict[_Name, Client] = {}
    variants: tuple[dict[str, Value], ...] = ()
    injection: Literal["enabled", "disabled", "unset"] = "enabled"


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to do, checked by the function `task_NUMBER`; its hints are shown one by one."""

    number: int
    title: str
    text: str
    hints: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Lesson:
    """A lesson as its folder has it, with the values of no learner filled in yet: `filled` gives one with them.

    `closing` are the sections after the tasks: what happens underneath, what to remember.
    """

    name: str
    folder: Path
    about: About
    opening: str
    tasks: tuple[Task, ...]
    closing: tuple[Section, ...]

    def values(self, namespace: str, variant: Given) -> Given:
        """All that texts and manifests may name."""
        return {**variant, "namespace": namespace, "lesson": self.name}

    def text(self, file: Path, given: Given) -> str:
        """A file of the lesson with the values filled in.

        Raises:
            BrokenLesson: it cannot be read, or names a value that there is none of.
        """
        try:
            return fill(file.read_text(encoding="utf-8"), given)
        except UnknownValue as error:
            raise BrokenLesson(file, error.line, str(error)) from error
        except (OSError, UnicodeDecodeError) as error:
            raise BrokenLesson(file, 1, f"cannot be read: {getattr(error, 'strerror', None) or error}") from error

    def filled(self, given: Given) -> Lesson:
        """The lesson with its texts filled in.

        Raises:
            BrokenLesson: a text names a value that there is none of.
        """
        return parse(self.folder, self.text(self.folder / TEXT, given))


def read(folder: Path) -> Lesson:
    """The lesson in a folder.

    Raises:
        BrokenLesson: a file is missing, or its front matter or its sections are not those of a lesson.
    """
    file = folder / TEXT
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BrokenLesson(file, 1, f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not (folder / CHECKS).is_file():
        raise BrokenLesson(folder / CHECKS, 1, "is missing: it holds the functions that check the tasks")
    lesson = parse(folder, text)
    for variant in lesson.about.variants or ({},):
        lesson.filled(lesson.values("namespace", variant))
    return lesson


def parse(folder: Path, text: str) -> Lesson:
    """The lesson that a text describes.

    Raises:
        BrokenLesson: as `read`.
    """
    file = folder / TEXT
    if not re.fullmatch(NAME_PATTERN, folder.name):
        raise BrokenLesson(file, 1, f"{folder.name!r} is no name of a lesson: a-z, 0-9 and hyphens, at most 30")
    try:
        found = document.parse(text)
    except ValueError as error:
        raise BrokenLesson(file, 1, str(error)) from error
    about = _about(file, found)
    tasks = [section for section in found.sections if section.title.startswith("Task")]
    closing = tuple(section for section in found.sections if section not in tasks)
    if not found.opening:
        raise BrokenLesson(file, 1, "there is no text before the first section")
    if not tasks:
        raise BrokenLesson(file, 1, "there is no task: a section `## Task 1: ...`")
    return Lesson(
        name=folder.name,
        folder=folder,
        about=about,
        opening=found.opening,
        tasks=tuple(_task(file, number, section) for number, section in enumerate(tasks, 1)),
        closing=closing,
    )


def namespace_of(lesson: str, learner: str) -> str:
    """The namespace of a learner's lesson."""
    return f"learn-{lesson}" + (f"-{learner}" if learner else "")


def solution_of(lesson: Lesson, number: int) -> str:
    """The folder or file with the solution of a task: `solution/task-N.yaml`, or the whole of `solution/`.

    Raises:
        BrokenLesson: there is none.
    """
    own = f"{SOLUTION}/task-{number}.yaml"
    if (lesson.folder / own).is_file():
        return own
    if len(lesson.tasks) > 1:
        raise BrokenLesson(lesson.folder / own, 1, "is missing: of several tasks each has a solution")
    if not list((lesson.folder / SOLUTION).glob("*.yaml")):
        raise BrokenLesson(lesson.folder / SOLUTION, 1, "holds no YAML file")
    return SOLUTION


def _about(file: Path, found: Document) -> About:
    import yaml

    if not found.front:
        raise BrokenLesson(file, 1, "has no front matter: it begins with `---`, title, minutes, clusters, `---`")
    try:
        about = msgspec.convert(yaml.load(found.front, Loader=_loader()), About, strict=True)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 2 if mark else 1
        raise BrokenLesson(file, line, f"front matter: {getattr(error, 'problem', None) or error}") from error
    except msgspec.ValidationError as error:
        raise _misplaced(file, found.front, str(error)) from error
    names = {frozenset(variant) for variant in about.variants}
    if len(names) > 1:
        raise _misplaced(file, found.front, "all variants need the same names - at `$.variants`")
    if taken := set(OWN_VALUES) & set().union(*names):
        raise _misplaced(file, found.front, f"{', '.join(sorted(taken))}: names of the lab's own - at `$.variants`")
    return about


def _loader() -> type:
    """PyYAML's loader by libyaml, which takes a tenth of the time, where it has it."""
    import yaml

    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _misplaced(file: Path, front: str, message: str) -> BrokenLesson:
    from mesh_lab.yamlplaces import line_of

    found = _FIELD.search(message)
    path = found["path"] if found else "$"
    plain = message[: found.start()] if found else message
    name = path.removeprefix("$").lstrip(".")
    return BrokenLesson(file, line_of(front, path) + 1, f"front matter{f', {name}' if name else ''}: {plain}")


def _task(file: Path, number: int, section: Section) -> Task:
    found = _TASK.fullmatch(section.title)
    if found is None or int(found["number"]) != number:
        raise BrokenLesson(file, section.line, f"`## {section.title}` should be `## Task {number}: TITLE`")
    text, parts = document.split(section.text.splitlines(), "### ", section.begins)
    for part in parts:
        if part.title != HINT:
            raise BrokenLesson(file, part.line, f"`### {part.title}`: a task has sections `### {HINT}` only")
    return Task(number, found["title"], text, tuple(part.text for part in parts))
