"""`make quick` finds its rooms, and leaves out what takes its time."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.conftest import ROOMS, SLOW, UNIT


@pytest.mark.parametrize("room", ROOMS)
def test_each_room_has_quick_tests(room: str) -> None:
    modules = list((UNIT / room).rglob("test_*.py"))
    assert [file for file in modules if not SLOW.search(file.read_text())]


@pytest.mark.parametrize(
    ("text", "slow"),
    [
        ("import subprocess\n", True),
        ("from hypothesis import given\n", True),
        ("    await asyncio.sleep(1)\n", True),
        ("from tests.unit.controlplane.fake_api import FakeApi\n", True),
        ('"""Nobody is left alone with an envoy, not here"""\n', False),
        ("from mesh_lab.controlplane.xds import routes\n", False),
    ],
)
def test_a_module_is_slow_by_what_it_uses(text: str, slow: bool) -> None:
    assert bool(SLOW.search(text)) == slow


def test_slow_is_known_of_real_modules() -> None:
    here = Path(__file__).parent
    assert SLOW.search((here / "cli" / "running.py").read_text())
