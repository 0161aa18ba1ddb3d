r"""The part of JSONPath that a CustomResourceDefinition's printer columns may use.

Names (`.spec.hosts`, `['a.b']`, `.metadata.annotations.a\.b`), indexes, slices, wildcards and one-comparison filters
(`[?(@.type=="Ready")]`), as https://kubernetes.io/docs/reference/kubectl/jsonpath/ describes them. A path that leads
nowhere finds nothing, which is no error.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import orjson

Find = Callable[[Any], list[Any]]

_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda a, b: bool(a == b),
    "!=": lambda a, b: bool(a != b),
    "<=": lambda a, b: bool(a <= b),
    ">=": lambda a, b: bool(a >= b),
    "<": lambda a, b: bool(a < b),
    ">": lambda a, b: bool(a > b),
}
_STEP = re.compile(
    r"""
      \.(?P<every>\*)
    | \.(?P<name>(?:[^.\[\]\\'"]|\\.)+)
    | \[(?P<quoted>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")\]
    | \[(?P<all>\*)\]
    | \[(?P<index>-?\d+)\]
    | \[(?P<start>-?\d*):(?P<end>-?\d*)\]
    | \[\?\(\s*@(?P<left>(?:\.(?:[^.\[\]\\'"=!<>\s)]|\\.)+)+)
        (?:\s*(?P<operator>==|!=|<=|>=|<|>)\s*(?P<right>'[^']*'|"[^"]*"|[^\s)]+))?\s*\)\]
    """,
    re.VERBOSE,
)


class PathError(ValueError):
    """The text is not a path that printer columns may use."""


@dataclass(frozen=True)
class Path:
    """A compiled path."""

    text: str
    steps: tuple[Find, ...]

    def find(self, value: Any) -> list[Any]:
        """All that the path leads to, in order."""
        found = [value]
        for step in self.steps:
            found = [result for item in found for result in step(item)]
        return found


@functools.lru_cache(maxsize=1024)
def compile_path(text: str) -> Path:
    """The path that `text` spells, with or without the braces of kubectl's templates.

    Raises:
        PathError: the text is not such a path.
    """
    body = text.strip()
    if body.startswith("{") and body.endswith("}"):
        body = body[1:-1]
    body = body.removeprefix("$")
    steps: list[Find] = []
    at = 0
    while at < len(body):
        match = _STEP.match(body, at)
        if match is None:
            raise PathError(f"{text}: cannot be read from character {at + 1} on: {body[at:]}")
        steps.append(_step(match))
        at = match.end()
    return Path(text, tuple(steps))


def as_text(values: Iterable[Any]) -> str:
    """What a path found, on one line: text as it is, all else as JSON."""
    return " ".join(value if isinstance(value, str) else orjson.dumps(value).decode() for value in values)


def _step(match: re.Match[str]) -> Find:
    parts = match.groupdict()
    if parts["every"] or parts["all"]:
        return _children
    if parts["name"] is not None:
        return functools.partial(_named, _unescaped(parts["name"]))
    if parts["quoted"] is not None:
        return functools.partial(_named, _unescaped(parts["quoted"][1:-1]))
    if parts["index"] is not None:
        return functools.partial(_indexed, int(parts["index"]))
    if parts["left"] is not None:
        return _filter(parts["left"], parts["operator"], parts["right"])
    start, end = parts["start"], parts["end"]
    return functools.partial(_sliced, slice(int(start) if start else None, int(end) if end else None))


def _filter(left: str, operator: str | None, right: str | None) -> Find:
    path = compile_path(left)
    if operator is None or right is None:
        return lambda value: [item for item in _children(value) if path.find(item)]
    compare, wanted = _COMPARISONS[operator], _literal(right)

    def holds(item: Any) -> bool:
        try:
            return any(compare(found, wanted) for found in path.find(item))
        except TypeError:
            return False

    return lambda value: [item for item in _children(value) if holds(item)]


def _named(name: str, value: Any) -> list[Any]:
    return [value[name]] if isinstance(value, dict) and value.get(name) is not None else []


def _indexed(index: int, value: Any) -> list[Any]:
    return [value[index]] if isinstance(value, list) and -len(value) <= index < len(value) else []


def _sliced(part: slice, value: Any) -> list[Any]:
    return value[part] if isinstance(value, list) else []


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _literal(text: str) -> Any:
    if text[0] in "'\"":
        return text[1:-1]
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)
