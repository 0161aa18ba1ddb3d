"""A damaged journal is refused with what is lost and the ways out; what can be read of it is kept on demand."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mesh_lab.kube.journal import FORMAT, Journal, JournalDamagedError, JournalError
from mesh_lab.kube.records import Record
from mesh_lab.kube.recovery import main, recover
from tests.unit.kube.test_store_journal import kill_while_writing

OBJECTS = 200
PAGE = 4096
Damage = Callable[[Path], None]


def record(number: int, revision: int) -> Record:
    body = f'{{"metadata":{{"name":"o{number:03}"}},"n":{number},"padding":"{"x" * (number * 37 % 3000)}"}}'
    return Record("configmaps", "default", f"o{number:03}", revision, body.encode())


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a journal of 200 objects, a part of them in its write-ahead log, as a kill leaves it."""
    live, left = tmp_path_factory.mktemp("live"), tmp_path_factory.mktemp("left")
    journal = Journal(live / "journal.db")
    journal.commit([record(number, number + 2) for number in range(OBJECTS - 40)])
    journal._connection.execute("PRAGMA wal_checkpoint(FULL)")
    for number in range(OBJECTS - 40, OBJECTS):
        journal.commit([record(number, number + 2)])
    # The files as they are now are what a process that is killed leaves behind.
    shutil.copytree(live, left, dirs_exist_ok=True)
    journal.close()
    return left


@pytest.fixture
def path(killed: Path, tmp_path: Path) -> Path:
    """A journal of the test's own."""
    shutil.copytree(killed, tmp_path, dirs_exist_ok=True)
    return tmp_path / "journal.db"


BEFORE = {one.name: one.body or b"" for one in (record(number, 0) for number in range(OBJECTS))}


def content(path: Path) -> dict[str, bytes]:
    journal = Journal(path)
    try:
        return {one.name: one.body or b"" for one in journal.records()}
    finally:
        journal.close()


def wal(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def mark(path: Path) -> Path:
    return path.with_name(f"{path.name}-mark")


def scrambled(file: Path, start: int, length: int = PAGE) -> None:
    raw = bytearray(file.read_bytes())
    raw[start : start + length] = random.Random(start).randbytes(len(raw[start : start + length]))
    file.write_bytes(bytes(raw))


def zeroed(file: Path) -> None:
    file.write_bytes(b"\0" * PAGE + file.read_bytes()[PAGE:])


def flipped(file: Path, what: bytes) -> None:
    raw = file.read_bytes()
    assert what in raw
    file.write_bytes(raw.replace(what, what[:-1] + b"!", 1))


def folded(path: Path) -> Path:
    """The journal as a server that ends leaves it: all is in one file."""
    Journal(path).close()
    return path


def cut(file: Path, share: float) -> None:
    raw = file.read_bytes()
    file.write_bytes(raw[: int(len(raw) * share)])


DAMAGES: dict[str, tuple[Damage, str]] = {
    "no write-ahead log": (lambda path: wal(path).unlink(), r"its last writes are missing: revisions 162 to 201"),
    "a scrambled write-ahead log": (lambda path: scrambled(wal(path), 0), "its last writes are missing"),
    "a write-ahead log scrambled in its middle": (
        lambda path: scrambled(wal(path), 60_000),
        "its last writes are missing",
    ),
    "a short write-ahead log": (lambda path: cut(wal(path), 0.5), "its last writes are missing"),
    "no database": (lambda path: path.unlink(), "missing"),
    "an empty database": (lambda path: path.write_bytes(b""), "missing"),
    "a short database": (lambda path: cut(path, 0.5), "damaged"),
    "a changed body": (
        lambda path: flipped(path, b'"n":70,'),
        r"1 of 200 objects are not as they were written: configmaps default/o070",
    ),
    "no mark": (lambda path: mark(path).unlink(), "journal.db-mark"),
    "a scrambled mark": (lambda path: scrambled(mark(path), 0), "journal.db-mark"),
    "zeros for the header": (lambda path: zeroed(folded(path)), "not a database"),
    "a scrambled header": (lambda path: scrambled(folded(path), 0, 100), "not a database"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_journal_is_an_error_with_the_loss_and_what_to_do(path: Path, name: str) -> None:
    damage, words = DAMAGES[name]
    damage(path)
    with pytest.raises(JournalDamagedError, match=words) as caught:
        Journal(path)
    assert str(path) in str(caught.value)
    assert "mesh-lab up --recover" in str(caught.value)
    assert "make lab-reset" in str(caught.value)


@pytest.mark.parametrize("name", DAMAGES)
def test_recovery_keeps_what_can_be_read_and_lists_what_is_lost(
    path: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    DAMAGES[name][0](path)
    assert main([str(path)]) == 0
    reported = capsys.readouterr().out
    after = content(path)
    assert after.items() <= BEFORE.items()
    assert f"kept: {len(after)} objects" in reported
    if len(after) < OBJECTS:
        assert "lost: " in reported
    journal = Journal(path)
    assert journal.revision() >= max((int(n) + 2 for n in (name[1:] for name in after)), default=0)
    journal.close()
    (aside,) = (one for one in tmp_path.iterdir() if one.name.startswith("damaged-"))
    assert f"kept in {aside}" in reported


def test_one_damaged_object_loses_only_that_object(path: Path) -> None:
    flipped(path, b'"n":70,')
    reported = list(recover(path))
    assert "lost: configmaps default/o070 (it is not as it was written)" in reported
    assert content(path) == {name: body for name, body in BEFORE.items() if name != "o070"}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(file="journal.db", place=0.5, length=1, seed=3)
@given(
    file=st.sampled_from(["journal.db", "journal.db-wal", "journal.db-mark"]),
    place=st.floats(0, 0.999),
    length=st.integers(1, 2 * PAGE),
    seed=st.integers(0, 9),
)
def test_any_damage_that_loses_an_acknowledged_write_is_reported(
    killed: Path, tmp_path_factory: pytest.TempPathFactory, file: str, place: float, length: int, seed: int
) -> None:
    path = tmp_path_factory.mktemp("damage") / "journal.db"
    shutil.copytree(killed, path.parent, dirs_exist_ok=True)
    target = path.with_name(file)
    raw = bytearray(target.read_bytes())
    start = int(len(raw) * place)
    raw[start : start + length] = random.Random(seed).randbytes(len(raw[start : start + length]))
    target.write_bytes(bytes(raw))
    try:
        # Damage in unused parts, such as a free page, does not count.
        assert content(path) == BEFORE
    except JournalError:
        list(recover(path))
        assert content(path).items() <= BEFORE.items()
    shutil.rmtree(path.parent)


def test_a_killed_process_leaves_no_damage(tmp_path: Path) -> None:
    for attempt in range(3):
        path = tmp_path / f"{attempt}.db"
        assert kill_while_writing(path)
        Journal(path).close()


def test_a_process_may_be_killed_at_every_step_of_a_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "live" / "journal.db"
    path.parent.mkdir()
    journal = Journal(path)
    journal.commit([record(1, 2)])
    monkeypatch.setattr(journal._mark, "write", lambda _: None)
    journal.commit([record(2, 3)])
    left = tmp_path / "left"
    shutil.copytree(path.parent, left)
    assert set(content(left / path.name)) == {"o001", "o002"}
    journal.close()


def test_a_sound_journal_is_left_as_it_is(path: Path) -> None:
    assert list(recover(path)) == [f"the journal {path} is not damaged"]
    assert content(path) == BEFORE


def test_a_journal_of_the_format_without_checksums_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with sqlite3.connect(path) as connection:
        connection.executescript(
            "CREATE TABLE objects (resource TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,"
            " revision INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (resource, namespace, name)) WITHOUT ROWID;"
            "CREATE TABLE progress (id INTEGER PRIMARY KEY CHECK (id = 1), revision INTEGER NOT NULL);"
            "INSERT INTO progress VALUES (1, 7);"
            "PRAGMA user_version=1;"
        )
        connection.execute("INSERT INTO objects VALUES ('pods', 'default', 'p', 7, ?)", (b'{"a":1}',))
    connection.close()
    journal = Journal(path)
    assert (journal.revision(), [str(one) for one in journal.records()]) == (7, ["pods default/p"])
    journal.commit([record(1, 8)])
    journal.close()
    again = Journal(path)
    assert again._connection.execute("PRAGMA user_version").fetchone() == (FORMAT,)
    assert again.revision() == 8
    again.close()
    flipped(path, b'{"a":1')
    with pytest.raises(JournalDamagedError, match="pods default/p"):
        Journal(path)
