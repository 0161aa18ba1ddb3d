"""A session: the current lesson, its standing, hints one by one, and the list."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from mesh_lab.errors import LabError
from mesh_lab.learn import catalogue, place
from mesh_lab.learn.checking import Verdict
from mesh_lab.learn.session import Session
from mesh_lab.settings import Lab, Settings
from tests.unit.learn.folders import lesson


class Place:
    """A lesson's place in which each check passes, and a start is always there."""

    verdict = Verdict(True)

    def __init__(self, *_: Any) -> None:
        pass

    def check(self, _number: int) -> Verdict:
        return self.verdict

    def set_up(self) -> None:
        pass


API: Any = None


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    monkeypatch.setattr(place, "Place", Place)
    return Session(Lab(Settings(), tmp_path))


@pytest.fixture
def mine(tmp_path: Path) -> str:
    return str(lesson(tmp_path / "mine"))


def test_commands_mean_the_lesson_that_was_begun_last(session: Session) -> None:
    with pytest.raises(LabError, match="no lesson has been begun"):
        session.opened()
    session.begin("canary")
    session.begin("mtls")
    assert session.opened().lesson.name == "mtls"
    assert session.opened("canary").lesson.name == "canary"
    with pytest.raises(LabError, match="the lesson faults has not been begun"):
        session.opened("faults")


def test_a_lesson_of_ones_own_is_known_by_its_name_once_it_was_begun(session: Session, mine: str) -> None:
    session.begin(mine)
    assert session.opened("mine").lesson.folder == Path(mine)
    assert session.begin("mine").lesson.folder == Path(mine)


def test_a_learner_has_a_namespace_and_a_variant_of_their_own(tmp_path: Path) -> None:
    ann, bob = (Session(Lab(Settings(), tmp_path), name).begin("canary") for name in ("ann", "bob"))
    assert (ann.given["namespace"], bob.given["namespace"]) == ("learn-canary-ann", "learn-canary-bob")
    assert ann.given["new"] != bob.given["new"]
    assert f"{ann.given['new']} %" in ann.lesson.opening


def test_another_seed_begins_the_lesson_anew_and_the_same_goes_on(session: Session) -> None:
    opened = session.begin("canary", "a")
    session.check(API, opened)
    assert session.begin("canary").standing.solved == 1
    assert session.begin("canary", "a").standing.solved == 1
    assert session.begin("canary", "b").standing.solved == 0


def test_tasks_are_solved_one_after_the_other(session: Session, mine: str) -> None:
    first = session.check(API, session.begin(mine))
    assert (first.task.number, first.finished) == (1, False)
    second = session.check(API, session.opened())
    assert (second.task.number, second.finished) == (2, True)
    assert session.opened().standing.done
    again = session.check(API, session.opened())
    assert (again.task.number, again.opened.standing.solved) == (2, 2)


def test_a_task_that_is_not_solved_stays_the_next_one(
    session: Session, mine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Place, "verdict", Verdict(False, "5", "10", "there"))
    checked = session.check(API, session.begin(mine))
    assert (checked.finished, checked.opened.standing.solved) == (False, 0)
    assert session.opened().standing.said == "task 1: seen: 5\nexpected: 10\nlook at: there"


def test_hints_come_one_by_one_and_begin_anew_with_each_task(session: Session, mine: str) -> None:
    session.begin(mine)
    assert [session.hint(session.opened()) for _ in range(3)] == [("One.", 1, 2), ("Two.", 2, 2), ("Two.", 2, 2)]
    session.check(API, session.opened())
    with pytest.raises(LabError, match="task 2 has no hints"):
        session.hint(session.opened())


def test_a_reset_begins_anew_and_forgets_not_that_it_was_done(session: Session, mine: str) -> None:
    session.begin(mine)
    for _ in range(2):
        session.check(API, session.opened())
    opened = session.reset(API, session.opened())
    assert (opened.standing.solved, opened.standing.done) == (0, True)
    assert session.opened().standing == opened.standing


def test_a_lesson_that_is_done_has_no_solution_to_show(session: Session, mine: str) -> None:
    session.begin(mine)
    assert session.solution(session.opened())[0]["data"] in ({"share": "10"}, {"share": "20"})
    for _ in range(2):
        session.check(API, session.opened())
    with pytest.raises(LabError, match="is done"):
        session.solution(session.opened())


def test_the_next_lesson_is_one_that_is_not_done(session: Session) -> None:
    names = [each.name for each in catalogue.course()]
    assert session.following() == names[0]
    session.begin(names[0])
    assert session.following() == names[1]
    for _ in range(9):
        session.check(API, session.opened(names[0]))
    session.begin(names[-1])
    assert session.following() == names[1], "the first is done, so the second comes after the last"


def test_the_list_tells_what_is_done_and_a_broken_lesson_hides_no_other(session: Session, mine: str) -> None:
    session.begin(mine)
    (Path(mine) / "checks.py").unlink()
    rows = {row.name: row for row in session.rows()}
    assert rows["mine"].state == "broken"
    assert "checks.py:1: is missing" in rows["mine"].broken
    assert (rows["canary"].state, rows["mine"].current) == ("new", True)


def test_a_lesson_for_other_clusters_is_refused(tmp_path: Path, mine: str) -> None:
    session = Session(Lab(msgspec.structs.replace(Settings(), cluster="kind"), tmp_path))
    with pytest.raises(LabError, match="is for embedded, not for kind clusters"):
        session.begin(mine)
