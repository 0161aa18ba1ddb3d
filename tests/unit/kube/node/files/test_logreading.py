"""The end of a log, as far as it says why a container failed."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh_lab.kube.node.files import logreading

STAMP = "2026-01-02T03:04:05.000000006Z stderr F "


def written(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{STAMP}{line}\n" for line in lines))
    return path


@pytest.mark.parametrize(
    ("lines", "kept"),
    [
        ((), ""),
        (("one", "two"), "one\ntwo"),
        (
            (
                "[critical][assert] assert failure: watch_fd >= 0. Details: inotify",
                "[critical][backtrace] Caught Aborted, suspect faulting address 0x1",
                "[critical][backtrace] #0: [0x7f]",
                "#1: main",
            ),
            "[critical][assert] assert failure: watch_fd >= 0. Details: inotify",
        ),
        (tuple(str(n) for n in range(200)), "\n".join(str(n) for n in range(120, 200))),
    ],
)
def test_the_end_of_a_log(tmp_path: Path, lines: tuple[str, ...], kept: str) -> None:
    assert logreading.tail(written(tmp_path / "0.log", *lines)) == kept


def test_it_is_no_longer_than_a_kubelets_and_stays_text(tmp_path: Path) -> None:
    found = logreading.tail(written(tmp_path / "0.log", "ä" * 3000))
    assert len(found.encode()) <= 2048
    assert set(found) == {"ä"}


def test_a_log_that_is_not_there_says_nothing(tmp_path: Path) -> None:
    assert logreading.tail(tmp_path / "none.log") == ""


def test_one_line_of_it() -> None:
    assert logreading.last_line("one\n two \n\n") == "two"
    assert logreading.last_line("") == ""
