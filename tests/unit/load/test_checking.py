"""Settings that do not go together are refused with what to do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mesh_lab.errors import LabError
from mesh_lab.load.checking import check
from mesh_lab.load.limits import parse
from mesh_lab.load.settings import Settings, users_for

PLAIN = Settings("steady", 20, 20, 100.0, 2, "http://gateway", None, 0.0, ui=False)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        (replace(PLAIN, shape="own", rate=5.0), "--rate says when tasks begin, and --shape own"),
        (replace(PLAIN, ui=True, rate=5.0), "--rate has no page"),
        (replace(PLAIN, limits=(parse("late>1%"),)), "--fail-if 'late>1%': arrivals are counted with --rate only"),
        (replace(PLAIN, shape="breakpoint", steps=30), "30 steps in 100 s have 3.33 s each, and 5 are needed"),
        (replace(PLAIN, spawn_rate=2.0, rate=5.0), "--spawn-rate has no effect with --rate"),
        (replace(PLAIN, spawn_rate=2.0, shape="breakpoint"), "--spawn-rate has no effect with"),
        (replace(PLAIN, steps=3), "--steps is of --shape breakpoint, and the shape is steady"),
        (replace(PLAIN, shape="breakpoint", ui=True), "--shape breakpoint needs its limits"),
    ],
)
def test_what_does_not_go_together_is_wrong_usage(settings: Settings, why: str) -> None:
    with pytest.raises(LabError) as refused:
        check(settings)
    assert refused.value.message.startswith(why)
    assert refused.value.exit_code == 2
    assert refused.value.hint


@pytest.mark.parametrize(
    "settings",
    [PLAIN, replace(PLAIN, rate=5.0, limits=(parse("late>1%"),)), replace(PLAIN, shape="breakpoint", rate=10.0)],
)
def test_what_goes_together_passes(settings: Settings) -> None:
    check(settings)


def test_what_is_dropped_breaks_a_run_unless_a_limit_says_how_much_may_be() -> None:
    def meant(settings: Settings) -> list[str]:
        return [limit.text for limit in settings.all_limits]

    assert meant(PLAIN) == ["errors>0"]
    assert meant(replace(PLAIN, rate=5.0)) == ["errors>0", "dropped>0%"]
    assert meant(replace(PLAIN, rate=5.0, limits=(parse("dropped>2%"),))) == ["errors>0", "dropped>2%"]


def test_a_rate_has_users_for_answers_of_a_second() -> None:
    assert [users_for(rate) for rate in (None, 0.5, 400.5, 1e6)] == [50, 50, 401, 2000]
