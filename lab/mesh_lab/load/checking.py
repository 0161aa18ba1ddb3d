"""Settings of a load run that do not go together."""

from __future__ import annotations

from collections.abc import Iterator

from mesh_lab.errors import LabError
from mesh_lab.load.limits import OF_ARRIVALS
from mesh_lab.load.settings import STEP_SECONDS, STEPS, Settings, Shape


def check(settings: Settings) -> None:
    """Refuse what does not go together.

    Raises:
        LabError: with exit code 2; what does not, and what to do.
    """
    for wrong, what, hint in _rules(settings):
        if wrong:
            raise LabError(what, hint=hint, exit_code=2)


def _rules(settings: Settings) -> Iterator[tuple[bool, str, str]]:
    """Whether a rule is broken, what is said then, and what to do."""
    rate = settings.rate is not None
    arrivals = [limit.text for limit in settings.limits if limit.figure in OF_ARRIVALS]
    yield (
        rate and settings.shape == Shape.OWN,
        "--rate says when tasks begin, and --shape own leaves that to the locustfile",
        "Leave one of them out, or choose another --shape for the rate.",
    )
    yield rate and settings.ui, "--rate has no page to be set in", "Leave out --ui, or --rate."
    yield (
        bool(arrivals) and not rate,
        f"--fail-if '{arrivals[0] if arrivals else ''}': arrivals are counted with --rate only",
        "Say --rate N, or leave the limit out.",
    )
    yield (
        settings.spawn_rate != settings.users and (rate or settings.shape == Shape.BREAKPOINT),
        "--spawn-rate has no effect with --rate or --shape breakpoint, whose users start at once",
        "Leave it out.",
    )
    yield (
        settings.steps != STEPS and settings.shape != Shape.BREAKPOINT,
        f"--steps is of --shape breakpoint, and the shape is {settings.shape}",
        "Leave it out, or choose that shape.",
    )
    seconds = settings.duration / settings.steps
    yield (
        settings.shape == Shape.BREAKPOINT and seconds < STEP_SECONDS,
        f"{settings.steps} steps in {settings.duration:g} s have {seconds:.3g} s each, and {STEP_SECONDS:g} are needed",
        f"--duration {settings.steps * STEP_SECONDS:g} or more, or fewer --steps.",
    )
    yield (
        settings.shape == Shape.BREAKPOINT and settings.ui,
        "--shape breakpoint needs its limits, and --ui has none",
        "Leave one of them out.",
    )
