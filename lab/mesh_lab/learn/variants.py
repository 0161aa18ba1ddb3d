"""What differs from learner to learner: values that a seed chooses, and texts that have them filled in."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence

Value = str | int | float
Given = Mapping[str, Value]
"""The values of one learner's variant, by name."""

_PLACE = re.compile(r"\{\{(?P<name>\w+)\}\}")


class UnknownValue(LookupError):  # noqa: N818 - named for what it is
    """A text names a value that the lesson does not have; `line` (from 1) is where."""

    def __init__(self, name: str, line: int, known: Sequence[str]) -> None:
        super().__init__(f"{{{{{name}}}}} is no value of the lesson; it has {', '.join(sorted(known))}")
        self.line = line


def choose(variants: Sequence[Given], seed: str, lesson: str) -> Given:
    """The variant that a seed means in a lesson: the same one each time, whatever the machine or the Python."""
    if not variants:
        return {}
    digest = hashlib.blake2b(f"{lesson}\0{seed}".encode(), digest_size=8).digest()
    return variants[int.from_bytes(digest) % len(variants)]


def fill(text: str, given: Given) -> str:
    """The text with `{{name}}` replaced by each value.

    Raises:
        UnknownValue: there is no value of a name.
    """

    def value(found: re.Match[str]) -> str:
        if found["name"] not in given:
            raise UnknownValue(found["name"], text.count("\n", 0, found.start()) + 1, list(given))
        return str(given[found["name"]])

    return _PLACE.sub(value, text)
