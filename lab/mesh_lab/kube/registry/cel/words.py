"""The CEL library's messages in the words of cel-go, which Kubernetes' users know."""

from __future__ import annotations

import re
from collections.abc import Callable

_STATUS = re.compile(r"^(?!ERROR: )[A-Z_]+: |\s*\[[A-Z_]+\]$")
_UNDEFINED = re.compile(r"undefined field '([^']*)' not found in struct '[^']*'")
_VARIABLE = re.compile(r"undeclared reference to 'variables\.([^'.]*)[^']*' \(in container ''\)")
_UNDECLARED = re.compile(r"(undeclared reference to '[^'.]+)\.[^']*'")
_OBJECT = re.compile(r"\bobject\d+\b")
_LINE = re.compile(r"(ERROR: <input>:)(\d+)(:\d+:)")
_EVALUATION: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r'Key not found in map : "?(.*?)"?$'), lambda found: f"no such key: {found[1]}"),
    (re.compile(r"no_such_field : (.*)"), lambda found: f"no such key: {found[1]}"),
    (re.compile(r"Index error: index=(-?\d+).*"), lambda found: f"index out of bounds: {found[1]}"),
    (re.compile(r"divide by zero"), lambda _: "division by zero"),
    (re.compile(r"modulus by zero"), lambda _: "modulus by zero"),
    (re.compile(r"No matching overloads found.*"), lambda _: "no such overload"),
    (re.compile(r"Applying SELECT to non-message type"), lambda _: "no such overload"),
    (re.compile(r"integer overflow"), lambda _: "integer overflow"),
    (re.compile(r"invalid regular expression: (.*)"), lambda found: f"error parsing regexp: {found[1]}"),
    (
        re.compile(r"Iteration budget exceeded"),
        lambda _: "operation cancelled: actual cost limit exceeded: more than 10,000 steps of loops",
    ),
)
"""What the library says of an expression that fails, and what cel-go says."""


def of_compilation(message: str, lines_before: int = 0) -> str:
    """What is wrong with an expression, `lines_before` of which are not its author's."""
    text = _UNDEFINED.sub(r"undefined field '\1'", _STATUS.sub("", message.strip()))
    text = _UNDECLARED.sub(r"\1'", _VARIABLE.sub(r"undefined field '\1'", text))
    return _OBJECT.sub("object", _LINE.sub(lambda found: f"{found[1]}{int(found[2]) - lines_before}{found[3]}", text))


def of_evaluation(message: str) -> str:
    """Why an expression has no value."""
    text = _STATUS.sub("", message.strip())
    for pattern, words in _EVALUATION:
        if found := pattern.search(text):
            return words(found)
    return text
