"""What a test's chaos may do at most, and what it says when it may or can not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from mesh_lab.errors import LabError


class ChaosError(LabError):
    """Chaos was asked for wrongly, or did not go as it was asked for."""


class ChaosUnsupported(ChaosError):  # noqa: N818 - no error of the test's: the cluster is of another sort
    """This cluster cannot do it; the message says why."""


Refuse = Callable[[str], NoReturn]
"""What is done about chaos that the cluster cannot do, with the reason: in a test it is skipped."""


def raise_unsupported(why: str) -> NoReturn:
    """Refuse by an exception, which is how it goes outside of a test.

    Raises:
        ChaosUnsupported: always.
    """
    raise ChaosUnsupported(why, hint="the lab's embedded cluster can: `mesh-lab up`")


@dataclass(frozen=True)
class ChaosBounds:
    """What one test may do: so many kills, and each network fault for so many seconds at most."""

    kills: int = 10
    seconds: float = 60.0


BOUNDS = ChaosBounds()
