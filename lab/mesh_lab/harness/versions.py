"""Which version of a service gave an answer: read by a function that the caller may give.

The lab's echo server sends it in a header that the traffic client reads. Other servers have it elsewhere.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mesh_lab.harness.results import Result

VersionOf = Callable[[Result], str]
"""Gives the version that a result is of; the empty text where it does not say."""

_STEP = re.compile(r"""\.?(?P<name>[^.\[\]]+)|\[(?P<index>-?\d+)\]|\[(?P<quote>['"])(?P<quoted>.*?)(?P=quote)\]""")


@dataclass(frozen=True, slots=True)
class VersionFrom:
    """A `VersionOf` that also says what the traffic client has to report of each answer, so that it can be read."""

    read: VersionOf
    headers: tuple[str, ...] = ()
    body: bool = False

    def __call__(self, result: Result) -> str:
        """The version."""
        return self.read(result)


def by_header(name: str) -> VersionFrom:
    """The version is the value of this header of the answer."""
    key = name.lower()
    return VersionFrom(lambda result: str(result.headers.get(key) or ""), headers=(key,))


def by_json(path: str) -> VersionFrom:
    """The version stands in the answer's body, which is JSON, at this path: `$.version`, `app.version`, `items[0].id`.

    Raises:
        ValueError: the path is empty, or more than names and indexes.
    """
    steps = _steps(path)

    def read(result: Result) -> str:
        try:
            found = json.loads(result.body)
            for step in steps:
                found = _below(found, step)
        except (ValueError, LookupError):
            return ""
        return found if isinstance(found, str) else "" if found is None else json.dumps(found)

    return VersionFrom(read, body=True)


def _steps(path: str) -> Sequence[str | int]:
    text, place, steps = path.strip().removeprefix("$"), 0, list[str | int]()
    while place < len(text):
        step = _STEP.match(text, place)
        name = step and (step["name"] or step["quoted"])
        if step is None or name == "*":
            raise ValueError(f"{path!r} is no path of names and indexes, as `$.app.version` or `items[0].version`")
        steps.append(name if name is not None else int(step["index"]))
        place = step.end()
    if not steps:
        raise ValueError(f"{path!r} names nothing")
    return steps


def _below(value: Any, step: str | int) -> Any:
    """The entry of an object, or of a list, whose index may also stand as a name (`items.0`).

    Raises:
        LookupError: there is none.
    """
    if isinstance(value, dict):
        return value[str(step)]
    if isinstance(value, list) and re.fullmatch(r"-?\d+", str(step)):
        return value[int(step)]
    raise LookupError(step)
