"""Label and field selectors, as kubectl writes them.

https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors and
https://kubernetes.io/docs/concepts/overview/working-with-objects/field-selectors/.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from mesh_lab.kube.errors import bad_request
from mesh_lab.kube.registry.syntax.names import label_value_problem, qualified_name_problem

_TOKEN = re.compile(r"\s*(==|!=|=|!|\(|\)|,|<|>|[^\s=!(),<>]+)")
MOST_REQUIREMENTS = 1000
"""Each is held against each object of a list, and against each change that a watch sees."""
_SETS = {"in", "notin"}
_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}
"""Of selectors inside objects."""


@dataclass(frozen=True)
class Requirement:
    """One condition. `operator` is one of `in`, `notin`, `exists`, `!`, `gt`, `lt`; an absent label passes `notin`."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether labels satisfy it."""
        value = labels.get(self.key)
        if self.operator == "in":
            return value is not None and value in self.values
        if self.operator == "notin":
            return value is None or value not in self.values
        if self.operator in ("gt", "lt"):
            (limit,) = self.values
            if value is None or not re.fullmatch(r"\d+", value):
                return False
            return int(value) > int(limit) if self.operator == "gt" else int(value) < int(limit)
        return (value is not None) == (self.operator == "exists")

    def __str__(self) -> str:
        values = ",".join(sorted(self.values))
        if self.operator == "exists":
            return self.key
        if self.operator == "!":
            return f"!{self.key}"
        if self.operator in ("gt", "lt"):
            return f"{self.key}{'>' if self.operator == 'gt' else '<'}{values}"
        return f"{self.key} {self.operator} ({values})"


@dataclass(frozen=True)
class LabelSelector:
    """All of its requirements must hold; none selects everything."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels is selected."""
        return all(requirement.matches(labels) for requirement in self.requirements)

    def __str__(self) -> str:
        return ",".join(map(str, self.requirements))


@lru_cache(maxsize=1024)
def parse_labels(text: str) -> LabelSelector:
    """Parse `app=web,tier in (a,b),!legacy`.

    Raises:
        ApiError: 400, the text is no selector.
    """
    try:
        return LabelSelector(tuple(_LabelParser(text).requirements()))
    except ValueError as error:
        raise bad_request(f"unable to parse requirement: {error}") from error


class _LabelParser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: deque[str] = deque()
        position = 0
        while text[position:].strip():
            match = _TOKEN.match(text, position)
            if match is None:
                raise ValueError(f"found {text[position:]!r}, expected a label key")
            self._tokens.append(match[1])
            position = match.end()

    def requirements(self) -> list[Requirement]:
        found: list[Requirement] = []
        while self._tokens:
            if len(found) == MOST_REQUIREMENTS:
                raise ValueError(f"a selector has {MOST_REQUIREMENTS} requirements at most in the embedded cluster")
            found.append(self._requirement())
            if self._tokens:
                self._expect(",")
                if not self._tokens:
                    raise ValueError("found '', expected: identifier after ','")
        return found

    def _requirement(self) -> Requirement:
        if self._peek() == "!":
            self._take()
            return Requirement(self._key(), "!")
        key = self._key()
        operator = self._peek()
        if operator in (None, ","):
            return Requirement(key, "exists")
        self._take()
        if operator in ("=", "==", "!="):
            return Requirement(key, "notin" if operator == "!=" else "in", frozenset([self._value()]))
        if operator in _SETS:
            return Requirement(key, str(operator), self._values())
        if operator in ("<", ">"):
            limit = self._value()
            if not re.fullmatch(r"\d+", limit):
                raise ValueError(
                    f"values[0][{key}]: Invalid value: {limit!r}: for 'Gt', 'Lt' operators, must be integer"
                )
            return Requirement(key, "gt" if operator == ">" else "lt", frozenset([limit]))
        raise ValueError(f"found '{operator}', expected: in, notin, =, ==, !=, gt, lt")

    def _key(self) -> str:
        key = self._take()
        if problem := qualified_name_problem(key):
            raise ValueError(f'key: Invalid value: "{key}": {problem}')
        return key

    def _value(self) -> str:
        # `app=` and `app=,tier=web` select the empty value.
        if self._peek() in (None, ","):
            return ""
        value = self._take()
        if problem := label_value_problem(value):
            raise ValueError(f'values: Invalid value: "{value}": {problem}')
        return value

    def _values(self) -> frozenset[str]:
        self._expect("(")
        values = set()
        while True:
            values.add("" if self._peek() in (",", ")") else self._value())
            separator = self._take()
            if separator == ")":
                return frozenset(values)
            if separator != ",":
                raise ValueError(f"found '{separator}', expected: ',' or ')'")

    def _peek(self) -> str | None:
        return self._tokens[0] if self._tokens else None

    def _take(self) -> str:
        if not self._tokens:
            raise ValueError("found '', expected: identifier")
        return self._tokens.popleft()

    def _expect(self, token: str) -> None:
        found = self._take()
        if found != token:
            raise ValueError(f"found '{found}', expected: '{token}'")


@dataclass(frozen=True)
class FieldSelector:
    """Terms of (path, whether it must be equal, value); all must hold."""

    terms: tuple[tuple[str, bool, str], ...] = ()

    def matches(self, obj: Mapping[str, Any], read: Callable[[Mapping[str, Any], str], str]) -> bool:
        """Whether the object is selected; `read` gives the text of one of its fields."""
        return all((read(obj, path) == value) == equal for path, equal, value in self.terms)

    def exact(self, path: str) -> str:
        """The value that a field must have; empty when several will do."""
        return next((value for field, equal, value in self.terms if equal and field == path), "")


@lru_cache(maxsize=1024)
def parse_fields(text: str) -> FieldSelector:
    """Parse `status.phase!=Running,spec.nodeName=lab`; a backslash escapes `,`, `=` and itself.

    Raises:
        ApiError: 400, the text is no selector.
    """
    terms = []
    for term in re.findall(r"(?:\\.|[^,\\])+", text):
        match = re.fullmatch(r"((?:\\.|[^=!\\])*)(==|!=|=)(.*)", term, re.DOTALL)
        if match is None:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{term}'")
        terms.append((match[1].strip(), match[2] != "!=", re.sub(r"\\(.)", r"\1", match[3])))
    return FieldSelector(tuple(terms))


def compile_selector(selector: Mapping[str, Any]) -> LabelSelector:
    """A selector as it stands in an object, ready to match. It must have been checked."""
    terms = [Requirement(k, "in", frozenset([v])) for k, v in (selector.get("matchLabels") or {}).items()]
    terms.extend(
        Requirement(term["key"], _OPERATORS[term["operator"]], frozenset(term.get("values") or ()))
        for term in selector.get("matchExpressions") or ()
    )
    return LabelSelector(tuple(terms))
