"""What a lesson's `checks.py` is written with, and how one of its functions is run.

A check sends traffic and looks at counters, certificates and acknowledgements; it never reads what a learner wrote. It
says what it expects and where to look next by `expect`, and what it saw by the assertion that fails within.
"""

from __future__ import annotations

import contextlib
import traceback
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mesh_lab.client.connection import ApiError, ClusterUnreachable
from mesh_lab.errors import ConfigurationRejected, LabError
from mesh_lab.harness.mesh import Mesh
from mesh_lab.learn.problems import BrokenLesson
from mesh_lab.learn.variants import Given

__all__ = ["Given", "NotYet", "Verdict", "expect", "load", "run"]

PREPARE = "prepare"
"""The function of `checks.py` that a start ends with, where there is one: what manifests cannot say."""


class NotYet(AssertionError):  # noqa: N818 - no error: the task is still to be done
    """A task is not solved: what was seen, what was expected, and where to look."""

    def __init__(self, seen: str, expected: str, look: str) -> None:
        super().__init__(f"{seen}\nexpected: {expected}\nlook at: {look}")
        self.seen, self.expected, self.look = seen, expected, look


@contextlib.contextmanager
def expect(expected: str, *, look: str) -> Iterator[None]:
    """Say of the assertions within a `with` block what they are for, and which command shows more.

    Raises:
        NotYet: one of them failed.
    """
    try:
        yield
    except NotYet:
        raise
    except (AssertionError, TimeoutError) as error:
        raise NotYet(str(error), expected, look) from error


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a check. `seen`, `expected` and `look` are empty where it passed."""

    passed: bool
    seen: str = ""
    expected: str = ""
    look: str = ""

    @property
    def words(self) -> str:
        """All that a learner reads of it."""
        parts = (("seen", self.seen), ("expected", self.expected), ("look at", self.look))
        return "\n".join(f"{label}: {text}" for label, text in parts if text)


Check = Callable[[Mesh, Given], None]


@dataclass(frozen=True, slots=True)
class Checks:
    """The functions of a `checks.py`: one for each task, and what a start ends with."""

    file: Path
    tasks: tuple[Check, ...]
    prepare: Check | None


def load(file: Path, tasks: int) -> Checks:
    """The checks in a file.

    Raises:
        BrokenLesson: it cannot be run, or lacks the function of a task.
    """
    module = types.ModuleType(f"mesh_lab_lesson_{file.parent.name.replace('-', '_')}")
    module.__file__ = str(file)
    try:
        code = compile(file.read_text(encoding="utf-8"), str(file), "exec", dont_inherit=True)
        exec(code, module.__dict__)
    except SyntaxError as error:
        raise BrokenLesson(file, error.lineno or 1, f"is no Python: {error.msg}") from error
    except OSError as error:
        raise BrokenLesson(file, 1, f"cannot be read: {error.strerror}") from error
    except Exception as error:
        raise _broken(file, error) from error
    return Checks(
        file=file,
        tasks=tuple(_function(file, module, f"task_{number}") for number in range(1, tasks + 1)),
        prepare=_function(file, module, PREPARE) if hasattr(module, PREPARE) else None,
    )


def run(checks: Checks, check: Check, mesh: Mesh, given: Given) -> Verdict:
    """What a check says.

    Raises:
        BrokenLesson: it raises what no learner has brought about.
        LabError: the cluster does not answer, or something of the lesson is not there.
    """
    try:
        check(mesh, given)
    except NotYet as error:
        return Verdict(False, error.seen, error.expected, error.look)
    except ConfigurationRejected as error:
        return Verdict(False, str(error), "a configuration that every proxy accepts", "`kubectl describe` of it")
    except (AssertionError, TimeoutError) as error:
        return Verdict(False, str(error) or f"{_place(checks.file, error)[1]} does not hold")
    except ClusterUnreachable as error:
        raise LabError(
            f"the cluster does not answer: {error}", hint="`mesh-lab status` tells whether it runs."
        ) from error
    except (KeyError, IndexError) as error:
        raise _broken(checks.file, error) from error
    except (ApiError, LookupError) as error:
        raise LabError(
            f"the check could not be carried out: {error}",
            hint="Something of the lesson is missing. `mesh-lab learn reset` brings its start back.",
        ) from error
    except LabError:
        raise
    except Exception as error:
        raise _broken(checks.file, error) from error
    return Verdict(True)


def _function(file: Path, module: types.ModuleType, name: str) -> Check:
    found = getattr(module, name, None)
    if not callable(found):
        raise BrokenLesson(file, 1, f"has no function {name}(mesh, given)")
    check: Check = found
    return check


def _broken(file: Path, error: Exception) -> BrokenLesson:
    line, name = _place(file, error)
    return BrokenLesson(file, line, f"{name} raises {type(error).__name__}: {error}")


def _place(file: Path, error: BaseException) -> tuple[int, str]:
    """The line of the file in which an exception began, and the function's name."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    return (frames[-1].lineno or 1, frames[-1].name) if frames else (1, "the file")
