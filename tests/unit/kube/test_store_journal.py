"""The journal under the worst: kill -9, a full disk, a foreign file, a second process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mesh_lab.kube.errors import ApiError
from mesh_lab.kube.journal import FORMAT, Journal, JournalError
from mesh_lab.kube.records import Record
from mesh_lab.kube.store import Store

_WRITER = """
    import asyncio, sys
    from pathlib import Path
    from mesh_lab.kube.store import Store

    async def write(store, name):
        for number in range(1_000_000):
            obj = {"metadata": {"name": name}, "number": number, "padding": "x" * 500}
            stored = await store.put("things", "", name, obj)
            sys.stdout.write(f"{name} {number} {stored['metadata']['resourceVersion']}\\n")
            sys.stdout.flush()

    async def main():
        store = Store.open(Path(sys.argv[1]))
        await asyncio.gather(*(write(store, f"writer-{i}") for i in range(8)))

    asyncio.run(main())
"""

_FULL = """
    import asyncio, json, resource, sys
    from pathlib import Path
    from mesh_lab.kube.errors import ApiError
    from mesh_lab.kube.store import Store

    async def main():
        store = Store.open(Path(sys.argv[1]))
        acknowledged, errors = [], []
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
        for number in range(200):
            try:
                await store.put("things", "", f"t{number}", {"metadata": {"name": f"t{number}"}, "x": "x" * 4000})
                acknowledged.append(f"t{number}")
            except ApiError as error:
                errors.append([error.code, error.message])
        present = [o["metadata"]["name"] for o in store.objects("things")]
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        await store.put("things", "", "afterwards", {"metadata": {"name": "afterwards"}})
        await store.close()
        print(json.dumps({"acknowledged": acknowledged, "errors": errors, "present": present}))

    asyncio.run(main())
"""


def python(program: str, path: Path) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(program), str(path)]


def kill_while_writing(path: Path) -> dict[str, tuple[int, int]]:
    """Each writer's last acknowledged (number, revision) before the process was killed."""
    acknowledged: dict[str, tuple[int, int]] = {}
    with subprocess.Popen(python(_WRITER, path), stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        try:
            for line in writer.stdout:
                # What stands in the pipe after the kill was acknowledged before it. The last line may be cut.
                if line.endswith("\n"):
                    name, number, revision = line.split()
                    acknowledged[name] = (int(number), int(revision))
                    if int(number) == 40:
                        os.kill(writer.pid, signal.SIGKILL)
        finally:
            writer.kill()
    return acknowledged


async def test_a_killed_process_loses_no_acknowledged_write(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    acknowledged = kill_while_writing(path)
    assert len(acknowledged) == 8
    store = Store.open(path)
    assert store.revision >= max(revision for _, revision in acknowledged.values())
    for name, (number, revision) in acknowledged.items():
        found = store.get("things", "", name)
        assert found is not None
        assert found["number"] >= number
        assert int(found["metadata"]["resourceVersion"]) >= revision
    stored = await store.put("things", "", "next", {"metadata": {"name": "next"}})
    assert int(stored["metadata"]["resourceVersion"]) > max(revision for _, revision in acknowledged.values())
    await store.close()


def fill_disk(path: Path) -> dict[str, Any]:
    """What was acknowledged, refused and visible in a process whose files may not grow."""
    run = subprocess.run(python(_FULL, path), capture_output=True, text=True, check=True, timeout=60)
    result: dict[str, Any] = json.loads(run.stdout)
    return result


async def test_a_full_disk_is_an_error_of_the_request_and_nothing_more(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    result = fill_disk(path)
    assert result["acknowledged"]
    assert result["errors"]
    code, message = result["errors"][0]
    assert code == 507
    assert str(path) in message
    # What a reader sees is what was acknowledged, then and after a restart.
    assert result["present"] == sorted(result["acknowledged"])
    store = Store.open(path)
    names = {o["metadata"]["name"] for o in store.objects("things")}
    assert names == {*result["acknowledged"], "afterwards"}
    await store.close()


async def test_a_write_that_fails_is_an_error_of_its_writer_only(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    store = Store.open(path)
    first = store.put("things", "", "a", {"metadata": {"name": "a"}})
    with pytest.raises(ApiError, match="cannot be stored") as caught:
        store.put("things", "", "b", {"metadata": {"name": "b"}, "x": 2**70})
    assert caught.value.code == 400
    stored = [await first, await store.put("things", "", "c", {"metadata": {"name": "c"}})]
    versions = [int(each["metadata"]["resourceVersion"]) for each in stored]
    assert versions[1] == versions[0] + 1, "a refused write takes no revision"
    await store.close()


def test_a_batch_is_all_or_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    good = Record("things", "", "a", 2, b"{}")
    bad = Record("things", "", None, 3, b"{}")  # type: ignore[arg-type]
    with pytest.raises(JournalError, match=r"journal\.db"):
        journal.commit([good, bad])
    assert list(journal.records()) == []
    assert journal.revision() == 0
    journal.commit([good])
    assert [record.name for record in journal.records()] == ["a"]
    journal.close()


def test_a_file_that_is_no_journal_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    path.write_text("not a database, and long enough to have a header" * 100)
    with pytest.raises(JournalError, match=r"journal\.db.*lab-reset"):
        Journal(path)
    assert path.read_text().startswith("not a database")


def test_a_journal_of_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version={FORMAT + 1}")
    connection.close()
    with pytest.raises(JournalError, match=f"format {FORMAT + 1}"):
        Journal(path)


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="nowhere"):
        Journal(tmp_path / "nowhere" / "journal.db")


def test_a_second_process_cannot_open_the_journal(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    journal.commit([Record("things", "", "a", 2, b"{}")])
    with pytest.raises(JournalError, match="in use by another process"):
        Journal(tmp_path / "journal.db")
    journal.close()


async def test_the_store_reports_a_journal_that_fails_and_one_that_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path / "journal.db")
    store, written, hanging = Store(journal), journal.commit, threading.Event()

    def fail(batch: Sequence[Record]) -> None:
        raise JournalError("no space left")

    def hang(batch: Sequence[Record]) -> None:
        hanging.wait(10)
        written(batch)

    async def put(name: str) -> None:
        await store.put("things", "", name, {"metadata": {"name": name}})

    monkeypatch.setattr(journal, "commit", fail)
    with pytest.raises(ApiError):
        await put("lost")
    assert store.failure == "no space left"
    monkeypatch.setattr(journal, "commit", hang)
    writing = asyncio.create_task(put("slow"))
    async with asyncio.timeout(5):
        while store.delayed() < 0.01:  # noqa: ASYNC110 - a delay is nothing that happens
            await asyncio.sleep(0.001)
    hanging.set()
    await writing
    assert (store.failure, store.delayed()) == ("", 0.0)
    await store.close()
