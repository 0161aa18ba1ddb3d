"""A learner in a lab: which lesson is the current one, where it takes place, and what each command changes.

What is returned is data; a terminal prints it, and a page can show the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from mesh_lab.errors import LabError
from mesh_lab.learn import catalogue
from mesh_lab.learn.lesson import Lesson, Task, namespace_of, solution_of
from mesh_lab.learn.progress import Notebook, Progress, Standing
from mesh_lab.learn.variants import Given, choose
from mesh_lab.settings import Lab

# What asks the cluster is imported when it is asked: a lesson's text must not wait for it.
if TYPE_CHECKING:
    from mesh_lab.client.api import Api
    from mesh_lab.client.objects import Object
    from mesh_lab.learn.checking import Verdict
    from mesh_lab.learn.place import Place


@dataclass(frozen=True, slots=True)
class Opened:
    """A lesson that somebody has begun: its texts and values are filled in."""

    lesson: Lesson
    given: Given
    standing: Standing
    token: str

    @property
    def task(self) -> Task | None:
        """The next task; None when all are solved."""
        solved = self.standing.solved
        return self.lesson.tasks[solved] if solved < len(self.lesson.tasks) else None


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check said of a task, and the next one; with `finished` that was the last."""

    task: Task
    verdict: Verdict
    opened: Opened

    @property
    def finished(self) -> bool:
        """Whether the lesson is done."""
        return self.opened.task is None


@dataclass(frozen=True, slots=True)
class Row:
    """A lesson in the list: what it is, how far the learner is, or why it is broken."""

    name: str
    title: str
    minutes: int
    tasks: int
    solved: int
    state: str
    current: bool
    broken: str = ""


class Session:
    """One learner. `learner` is empty where a lab has but one."""

    def __init__(self, lab: Lab, learner: str = "") -> None:
        self._lab = lab
        self._learner = learner
        self._notebook = Notebook(lab, learner)

    def rows(self) -> list[Row]:
        """The course's lessons, and those of the learner's own folders, with the progress in each.

        Raises:
            LabError: the progress cannot be read.
        """
        progress = self._notebook.read()
        listed = catalogue.course()
        known = {each.name for each in listed}
        own = [(name, each.folder or name) for name, each in progress.lessons.items() if name not in known]
        rows = [self._row(each.name, each.lesson, each.broken, progress) for each in listed]
        for name, folder in own:
            try:
                rows.append(self._row(name, catalogue.find(folder), None, progress))
            except LabError as error:
                rows.append(self._row(name, None, error, progress))
        return rows

    def begin(self, name: str, seed: str | None = None) -> Opened:
        """Begin a lesson, or go on with it; with another seed than before it begins anew.

        Raises:
            BrokenLesson: it cannot be used.
            LabError: there is none of this name, or it is not for this kind of cluster.
        """
        lesson = catalogue.find(self._folder_of(name))
        if (kind := self._lab.settings.cluster) not in lesson.about.clusters:
            raise LabError(
                f"the lesson {lesson.name} is for {', '.join(lesson.about.clusters)}, not for {kind} clusters",
                hint="`mesh-lab learn` lists the lessons.",
            )
        with self._notebook.changing() as change:
            before = change.progress.lessons.get(lesson.name)
            folder = "" if lesson.name in catalogue.names() else str(lesson.folder)
            fresh = Standing(folder, self._learner if seed is None else seed, since=_now())
            same = before is not None and (seed is None or seed == before.seed)
            standing = msgspec.structs.replace(before, folder=folder) if before and same else fresh
            change.progress = change.progress.with_standing(lesson.name, standing)
            token = change.progress.token
        return self._opened(lesson, standing, token)

    def opened(self, name: str = "") -> Opened:
        """The lesson of this name, or the current one.

        Raises:
            BrokenLesson: it cannot be used.
            LabError: it has not been begun.
        """
        progress = self._notebook.read()
        key = catalogue.find(self._folder_of(name)).name if name else progress.current
        if not key:
            raise LabError(
                "no lesson has been begun", hint="`mesh-lab learn` lists them, `mesh-lab learn NAME` begins one."
            )
        if key not in progress.lessons:
            raise LabError(f"the lesson {key} has not been begun", hint=f"`mesh-lab learn {key}` begins it.")
        standing = progress.lessons[key]
        return self._opened(catalogue.find(standing.folder or key), standing, progress.token)

    def place(self, api: Api, opened: Opened) -> Place:
        """Where the lesson takes place."""
        from mesh_lab.learn import place

        return place.Place(api, opened.lesson, opened.given, place.images_of(self._lab), opened.token)

    def check(self, api: Api, opened: Opened) -> Checked:
        """Check the next task, and note what came of it. Of a lesson that is done it is the last task.

        Raises:
            BrokenLesson: the check itself is wrong.
            LabError: something that the lesson needs is missing.
        """
        task = opened.task or opened.lesson.tasks[-1]
        verdict = self.place(api, opened).check(task.number)
        standing = self._note(opened, task, verdict)
        return Checked(task, verdict, self._opened_again(opened, standing))

    def hint(self, opened: Opened) -> tuple[str, int, int]:
        """The next hint of the next task, its number, and how many there are; after the last one the last again.

        Raises:
            LabError: there is none.
        """
        task = self._task(opened)
        if not task.hints:
            raise LabError(f"task {task.number} has no hints", hint="`mesh-lab learn solution` shows a solution.")
        shown = min(opened.standing.hints + 1, len(task.hints))
        with self._notebook.changing() as change:
            standing = msgspec.structs.replace(opened.standing, hints=shown)
            change.progress = change.progress.with_standing(opened.lesson.name, standing)
        return task.hints[shown - 1], shown, len(task.hints)

    def solution(self, opened: Opened) -> list[Object]:
        """The objects that solve the next task.

        Raises:
            BrokenLesson: a manifest is wrong.
            LabError: the lesson is done.
        """
        from mesh_lab.learn.start import manifests

        return manifests(opened.lesson, solution_of(opened.lesson, self._task(opened).number), opened.given)

    def reset(self, api: Api, opened: Opened) -> Opened:
        """Bring the lesson's start back, and begin it anew: what was solved before remains noted as `done`.

        Raises:
            LabError: as `Place.set_up`.
        """
        self.place(api, opened).set_up()
        with self._notebook.changing() as change:
            standing = msgspec.structs.replace(opened.standing, solved=0, hints=0, said="")
            change.progress = change.progress.with_standing(opened.lesson.name, standing)
        return self._opened_again(opened, standing)

    def following(self) -> str:
        """The name of the lesson after the current one that is not done yet.

        Raises:
            LabError: all are done.
        """
        progress = self._notebook.read()
        names = [each.name for each in catalogue.course() if each.lesson is not None]
        begin = names.index(progress.current) + 1 if progress.current in names else 0
        for name in (*names[begin:], *names[:begin]):
            standing = progress.lessons.get(name)
            if name != progress.current and not (standing and standing.done):
                return name
        raise LabError("there is no further lesson: all others are done", hint="`mesh-lab learn NAME` repeats one.")

    # Parts

    def _row(self, name: str, lesson: Lesson | None, broken: LabError | None, progress: Progress) -> Row:
        standing = progress.lessons.get(name)
        state = "broken" if broken else _state(standing)
        about = lesson.about if lesson else None
        return Row(
            name=name,
            title=about.title if about else "",
            minutes=about.minutes if about else 0,
            tasks=len(lesson.tasks) if lesson else 0,
            solved=standing.solved if standing else 0,
            state=state,
            current=name == progress.current,
            broken=broken.message if broken else "",
        )

    def _folder_of(self, name: str) -> str:
        """A lesson's folder where its name is of one that the learner has begun from a folder; else the name."""
        standing = self._notebook.read().lessons.get(name)
        return standing.folder or name if standing else name

    def _opened(self, lesson: Lesson, standing: Standing, token: str) -> Opened:
        variant = choose(lesson.about.variants, standing.seed, lesson.name)
        given = lesson.values(namespace_of(lesson.name, self._learner), variant)
        return Opened(lesson.filled(given), given, standing, token)

    @staticmethod
    def _opened_again(opened: Opened, standing: Standing) -> Opened:
        return Opened(opened.lesson, opened.given, standing, opened.token)

    def _note(self, opened: Opened, task: Task, verdict: Verdict) -> Standing:
        before = opened.standing
        passed = verdict.passed and opened.task is not None
        solved = before.solved + passed
        standing = msgspec.structs.replace(
            before,
            solved=solved,
            done=before.done or solved == len(opened.lesson.tasks),
            hints=0 if passed else before.hints,
            checks=before.checks + 1,
            checked=_now(),
            said=f"task {task.number}: {'solved' if verdict.passed else verdict.words}",
        )
        with self._notebook.changing() as change:
            change.progress = change.progress.with_standing(opened.lesson.name, standing)
        return standing

    @staticmethod
    def _task(opened: Opened) -> Task:
        if opened.task is None:
            raise LabError(
                f"the lesson {opened.lesson.name} is done: it has no further task",
                hint="`mesh-lab learn next` begins the next lesson, `mesh-lab learn reset` this one anew.",
            )
        return opened.task


def _state(standing: Standing | None) -> str:
    return "new" if standing is None else "done" if standing.done else "begun"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
