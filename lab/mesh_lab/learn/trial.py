"""Whether a lesson is right: its start fails, wrong solutions fail each with its own words, its solution passes.

https://en.wikipedia.org/wiki/Mutation_testing - the mutants are of the solution, and what is under test is the check.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mesh_lab.client.api import Api
from mesh_lab.harness.workloads import Images
from mesh_lab.learn.checking import Verdict
from mesh_lab.learn.lesson import RIGHT, WRONG, Lesson, namespace_of, solution_of
from mesh_lab.learn.place import Place
from mesh_lab.learn.problems import BrokenLesson
from mesh_lab.learn.variants import choose

WRONG_SOLUTIONS = 3
_SAYS = re.compile(r"^# says: (?P<words>.+)$", re.MULTILINE)
_TASK = re.compile(r"^# task: (?P<number>\d+)$", re.MULTILINE)

Tell = Callable[[str], None]


class TrialFailed(AssertionError):  # noqa: N818 - named for what it is
    """A lesson does not do what every lesson has to do."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A wrong solution of a task, and the words that the check's message has to contain: one of those around a `|`."""

    file: Path
    task: int
    words: str

    @property
    def label(self) -> str:
        """As an author finds it."""
        return f"{WRONG}/{self.file.name}"

    def said_in(self, verdict: Verdict) -> bool:
        """Whether the check has found what is wrong, and not something else."""
        said = " ".join(verdict.words.lower().split())
        return any(words.strip().lower() in said for words in self.words.split("|"))


def of(api: Api, lesson: Lesson, seed: str, images: Images, tell: Tell) -> None:
    """Try a lesson in a namespace of the trial's own, which is deleted afterwards.

    Raises:
        TrialFailed, BrokenLesson: as `run`.
        LabError: the cluster is not as it should be.
    """
    variant = choose(lesson.about.variants, seed, lesson.name)
    given = lesson.values(namespace_of(lesson.name, f"trial-{secrets.token_hex(3)}"), variant)
    place = Place(api, lesson.filled(given), given, images, secrets.token_hex(16))
    try:
        run(place, tell)
    finally:
        place.remove()


def mutants(lesson: Lesson, place: Place) -> list[Mutant]:
    """The wrong solutions of a lesson.

    Raises:
        BrokenLesson: there are fewer than three, one does not say its words, or two say the same.
    """
    found = [_mutant(lesson, file, place) for file in sorted((lesson.folder / WRONG).glob("*.yaml"))]
    if len(found) < WRONG_SOLUTIONS:
        raise BrokenLesson(lesson.folder / WRONG, 1, f"has {len(found)} files *.yaml, not {WRONG_SOLUTIONS} or more")
    said = [(each.task, each.words) for each in found]
    if twice := [each for each in found if said.count((each.task, each.words)) > 1]:
        raise BrokenLesson(twice[0].file, 1, f"another wrong solution says {twice[0].words!r} as well")
    return found


def _mutant(lesson: Lesson, file: Path, place: Place) -> Mutant:
    text = lesson.text(file, place.given)
    says = _SAYS.search(text)
    if says is None:
        raise BrokenLesson(file, 1, "has no line `# says: WORDS` with what the check's message has to contain")
    return Mutant(file, _task_of(lesson, file, text), says["words"].strip())


def _task_of(lesson: Lesson, file: Path, text: str) -> int:
    """The task that a file is about."""
    found = _TASK.search(text)
    number = int(found["number"]) if found else 1
    if not 1 <= number <= len(lesson.tasks):
        raise BrokenLesson(file, 1, f"`# task: {number}`: the lesson has {len(lesson.tasks)} tasks")
    return number


def run(place: Place, tell: Tell) -> None:
    """Try a lesson in its place; what it takes is told.

    Raises:
        TrialFailed: a check passes that has to fail, fails that has to pass, or says something else.
        BrokenLesson: a file of the lesson is wrong.
    """
    wrong = mutants(place.lesson, place)
    for task in place.lesson.tasks:
        _require_failure(place, task.number, "the untouched start", _checked(place, task.number, None, tell))
        said: dict[Mutant, Verdict] = {}
        for mutant in (each for each in wrong if each.task == task.number):
            said[mutant] = _checked(place, task.number, mutant.file, tell)
            _require_failure(place, task.number, mutant.label, said[mutant])
        _require_words(place, said)
    _try_other_ways(place, tell)
    _try_solutions(place, tell)


def _require_failure(place: Place, task: int, label: str, verdict: Verdict) -> None:
    where = f"{place.lesson.name}, task {task}"
    if verdict.passed:
        raise TrialFailed(f"{where}: {label} passes, and has to fail")
    if not (verdict.expected and verdict.look):
        raise TrialFailed(
            f"{where}: of {label} the check says neither what it expected nor where to look: put its assertions into "
            f"`with expect(...)`\n{verdict.words}"
        )


def _require_words(place: Place, said: Mapping[Mutant, Verdict]) -> None:
    """Each wrong solution is told in its own words, and in those of no other."""
    for mutant in said:
        for other, verdict in said.items():
            if mutant.said_in(verdict) == (mutant is other):
                continue
            must = "has to" if mutant is other else "must not"
            raise TrialFailed(
                f"{place.lesson.name}, task {mutant.task}: of {other.label} the check {must} say {mutant.words!r}; "
                f"it says\n{verdict.words}"
            )


def _checked(place: Place, task: int, file: Path | None, tell: Tell) -> Verdict:
    """What the check says of a task whose predecessors are solved, with what a file holds or with nothing."""
    begun = time.monotonic()
    place.set_up()
    took = time.monotonic() - begun
    for before in range(1, task):
        place.apply(place.solution(solution_of(place.lesson, before)))
        _require_passed(place, before, place.check(before))
    if file:
        place.apply(place.solution(file))
    begun = time.monotonic()
    verdict = place.check(task)
    said = "passes" if verdict.passed else f"fails: {' '.join(verdict.words.split())[:100]}"
    label = f"{file.parent.name}/{file.name}" if file else "the untouched start"
    tell(f"  task {task}, {label}: start {took:.1f} s, check {time.monotonic() - begun:.1f} s, {said}")
    return verdict


def _try_other_ways(place: Place, tell: Tell) -> None:
    """Solutions that are right, too: a check that refuses one looks at more than behaviour."""
    for file in sorted((place.lesson.folder / RIGHT).glob("*.yaml")):
        task = _task_of(place.lesson, file, place.lesson.text(file, place.given))
        verdict = _checked(place, task, file, tell)
        if not verdict.passed:
            label = f"{RIGHT}/{file.name}"
            raise TrialFailed(f"{place.lesson.name}, task {task}: {label} fails, and is right\n{verdict.words}")


def _try_solutions(place: Place, tell: Tell) -> None:
    """One after the other, as a learner does."""
    place.set_up()
    for task in place.lesson.tasks:
        place.apply(place.solution(solution_of(place.lesson, task.number)))
        begun = time.monotonic()
        verdict = place.check(task.number)
        tell(f"  task {task.number}, solution: check {time.monotonic() - begun:.1f} s")
        _require_passed(place, task.number, verdict)


def _require_passed(place: Place, task: int, verdict: Verdict) -> None:
    if not verdict.passed:
        raise TrialFailed(f"{place.lesson.name}, task {task}: the solution fails\n{verdict.words}")
