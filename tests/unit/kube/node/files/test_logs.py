"""Containers' output is stored with times, rotated, and read back as `kubectl logs` asks."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mesh_lab.kube.node.files import logreading, logs
from mesh_lab.kube.streams import LogOptions
from mesh_lab.rfc3339 import nano_timestamp

CRI = re.compile(rb"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z (stdout|stderr) [FP] ")


async def written(path: Path, *writes: bytes, stream: str = "stdout", limit: int = logs.FILE_LIMIT) -> None:
    """Write through a pipe, as a container does, and wait until all is in the file."""
    file = logs.LogFile(path, limit)
    reading, writing = os.pipe()
    reader = logs.StreamReader(reading, stream, file)
    for data in writes:
        os.write(writing, data)
    os.close(writing)
    async with asyncio.timeout(5):
        await reader.ended
    file.close()


async def text(path: Path, options: LogOptions | None = None, live: logs.LogFile | None = None) -> str:
    return b"".join([chunk async for chunk in logreading.read(path, options or LogOptions(), live)]).decode()


async def test_lines_are_stored_in_the_cri_format_and_read_back_without(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    await written(path, b"one\ntwo\n", b"thr", b"ee\n\nlast without newline", stream="stderr")
    assert all(CRI.match(line) for line in path.read_bytes().splitlines())
    assert await text(path) == "one\ntwo\nthree\n\nlast without newline\n"


async def test_a_line_that_does_not_end_is_stored_in_parts_and_read_as_one(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    file = logs.LogFile(path)
    reading, writing = os.pipe()
    reader = logs.StreamReader(reading, "stdout", file)
    long = b"x" * (2 * logs.LINE_LIMIT + 7)
    with file.following() as grown:
        os.write(writing, long)
        async with asyncio.timeout(5):
            await grown.wait()
    os.write(writing, b"\nnext\n")
    os.close(writing)
    await reader.ended
    file.close()
    assert [line[38:39] for line in path.read_bytes().splitlines()] == [b"P", b"P", b"F", b"F"]
    assert await text(path) == long.decode() + "\nnext\n"
    assert await text(path, LogOptions(tail_lines=2)) == long.decode() + "\nnext\n"
    stamped = await text(path, LogOptions(timestamps=True))
    assert len(stamped.splitlines()) == 2


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(writes=st.lists(st.binary(max_size=70).map(lambda data: data.replace(b"\r", b"\n")), max_size=6))
async def test_all_that_is_written_is_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: list[bytes]
) -> None:
    monkeypatch.setattr(logs, "_PIECE", 16)  # lines that span several pieces, and pieces of several lines
    monkeypatch.setattr(logs, "LINE_LIMIT", 24)
    path = tmp_path / "0.log"
    path.unlink(missing_ok=True)
    await written(path, *(write for write in writes if write))
    whole = b"".join(writes)
    found = b"".join([chunk async for chunk in logreading.read(path, LogOptions(), None)])
    # A last line without an end may get one.
    assert found == whole or (found == whole + b"\n" and not whole.endswith(b"\n"))
    assert all(CRI.match(line) for line in path.read_bytes().split(b"\n")[:-1])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(lines=st.lists(st.text(alphabet="ab P\t", max_size=9), max_size=12), tail=st.none() | st.integers(0, 14))
async def test_the_tail_is_the_last_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: list[str], tail: int | None
) -> None:
    monkeypatch.setattr(logreading, "_BLOCK", 64)  # several blocks even for short logs
    path = tmp_path / "0.log"
    path.unlink(missing_ok=True)
    await written(path, "".join(f"{line}\n" for line in lines).encode() or b"")
    wanted = lines if tail is None else lines[len(lines) - min(tail, len(lines)) :]
    assert await text(path, LogOptions(tail_lines=tail)) == "".join(f"{line}\n" for line in wanted)


async def test_rotation_keeps_the_file_before_and_the_tail_reaches_into_it(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    file = logs.LogFile(path, limit=200)
    reading, writing = os.pipe()
    reader = logs.StreamReader(reading, "stdout", file)
    with file.following() as grown:
        for number in range(7):
            os.write(writing, b"line %d\n" % number)
            async with asyncio.timeout(5):
                await grown.wait()
            grown.clear()
    os.close(writing)
    await reader.ended
    file.close()
    assert await text(path) == "".join(f"line {n}\n" for n in range(7))
    assert await text(path, LogOptions(tail_lines=3)) == "line 4\nline 5\nline 6\n"


async def test_following_across_a_rotation_until_the_container_ends(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    file = logs.LogFile(path, limit=300)
    following = asyncio.create_task(text(path, LogOptions(follow=True), file))
    for number in range(20):
        file.append(nano_timestamp().encode() + b" stdout F line %d\n" % number)
        await asyncio.sleep(0)
    file.close()
    async with asyncio.timeout(5):
        assert await following == "".join(f"line {n}\n" for n in range(20))


async def test_options_of_a_reader(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_bytes(
        b"2030-01-01T00:00:00.000000000Z stdout F old\n"
        b"2030-01-01T00:00:01.500000000Z stdout F mid\n"
        b"2030-01-01T00:00:02.000000000Z stderr F new\n"
    )
    since = datetime(2030, 1, 1, 0, 0, 1, 500000, tzinfo=UTC)
    assert await text(path, LogOptions(since_time=since)) == "mid\nnew\n"
    assert await text(path, LogOptions(limit_bytes=6)) == "old\nmi"
    assert await text(path, LogOptions(tail_lines=0)) == ""
    assert (await text(path, LogOptions(tail_lines=1, timestamps=True))) == "2030-01-01T00:00:02.000000000Z new\n"


async def test_a_writer_that_is_too_fast_waits(tmp_path: Path) -> None:
    """The pipe is bounded and is read a piece at a time: nothing grows."""
    file = logs.LogFile(tmp_path / "0.log")
    reading, writing = os.pipe()
    reader = logs.StreamReader(reading, "stdout", file)
    os.set_blocking(writing, False)
    sent = sum(_write_until_full(writing, b"y\n" * 4096))
    os.close(writing)
    async with asyncio.timeout(10):
        await reader.ended
    file.close()
    assert sent <= 1 << 20
    assert len((await text(tmp_path / "0.log")).encode()) == sent


def _write_until_full(descriptor: int, data: bytes) -> Iterator[int]:
    with contextlib.suppress(BlockingIOError):
        while True:
            yield os.write(descriptor, data)


def test_old_starts_are_forgotten(tmp_path: Path) -> None:
    for name in ("0.log", "0.log.1", "1.log"):
        (tmp_path / name).touch()
    logs.forget(tmp_path, 0)
    assert [p.name for p in tmp_path.iterdir()] == ["1.log"]


@given(st.floats(0, 1e6), st.sampled_from([0.0, 0.003, 0.01, 0.02, 0.0499, 0.05]) | st.floats(0, 3))
def test_a_stream_is_read_within_its_interval(now: float, pause: float) -> None:
    assert now - 1e-6 <= logs.together(now, pause) <= now + pause + 1e-6


@given(st.integers(1, 10**6), st.lists(st.floats(0.0001, 0.0499), min_size=2, max_size=5))
def test_streams_of_much_output_are_read_together(tick: int, offsets: list[float]) -> None:
    assert len({round(logs.together(tick * 0.05 + offset, 0.05), 6) for offset in offsets}) == 1


async def test_a_stream_of_much_output_has_a_pipe_that_is_seldom_full(tmp_path: Path) -> None:
    file = logs.LogFile(tmp_path / "0.log")
    reading, writing = os.pipe()
    reader = logs.StreamReader(reading, "stdout", file)
    usual = fcntl.fcntl(writing, fcntl.F_GETPIPE_SZ)
    with file.following() as grown:
        for _ in range(2):
            grown.clear()
            os.write(writing, b"x" * 99 + b"\n")
            os.write(writing, (b"x" * 999 + b"\n") * (usual // 2000 + 1))
            async with asyncio.timeout(5):
                await grown.wait()
    assert fcntl.fcntl(writing, fcntl.F_GETPIPE_SZ) == 1 << 20 > usual
    os.close(writing)
    await reader.ended
    file.close()
