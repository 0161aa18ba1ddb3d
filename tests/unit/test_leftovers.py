"""What CI takes for left behind by a lab, and what for another's."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

TOOL = Path(__file__).parents[2] / "tools" / "leftovers.py"
KNOWN = {"host": ["interface lo"], "lab": ["process 10 500", "process 11 501", "namespace net:[7]"]}
INIT = {1: (0, "1")}


@pytest.fixture
def leftovers(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    specification = importlib.util.spec_from_file_location("leftovers", TOOL)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    monkeypatch.setattr(module, "host", lambda: ["interface lo"])
    monkeypatch.setattr(module, "namespaces", lambda pids: {"net:[7]"} & {"net:[7]" for pid in pids if pid > 20})
    return module


@pytest.mark.parametrize(
    ("processes", "left"),
    [
        ({}, []),
        ({11: (1, "501")}, ["process 11 501"]),
        ({11: (1, "900")}, []),  # another process of that number
        ({22: (1, "777")}, ["namespace net:[7]"]),  # not known, but in a namespace of the lab, and nobody's
        ({12: (1, "900"), 22: (12, "901")}, []),  # another lab, whose namespace got the number of the one that went
    ],
)
def test_what_is_left_is_the_labs_own(
    leftovers: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    processes: dict[int, tuple[int, str]],
    left: list[str],
) -> None:
    monkeypatch.setattr(leftovers, "processes", lambda: INIT | processes)
    assert leftovers.left(KNOWN) == left


def test_what_the_host_has_more_than_before_is_left(leftovers: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "processes", lambda: INIT)
    monkeypatch.setattr(leftovers, "host", lambda: ["interface lo", "interface veth0"])
    assert leftovers.left(KNOWN) == ["interface veth0"]
