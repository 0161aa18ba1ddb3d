"""The expressions by which a ServiceResolver's subsets choose instances: Consul's filters, over what pods say.

`Service.Meta.KEY` is a pod's annotation `consul.hashicorp.com/service-meta-KEY`, as consul-k8s registers it; where a
pod has none, its label KEY, which is the lab's addition. `Service.Tags` are those of the annotation
`consul.hashicorp.com/service-tags`. Other selectors are refused.
https://developer.hashicorp.com/consul/api-docs/features/filtering, github.com/hashicorp/go-bexpr
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Literal, NamedTuple

from mesh_lab.controlplane.model.choosing import Instances

PREFIX = "consul.hashicorp.com/"
_META, _TAGS = f"{PREFIX}service-meta-", f"{PREFIX}service-tags"
_SEPARATOR = re.compile(r"(?<!\\),")

Test = Literal["equals", "contains", "matches", "empty"]


class Meta(Instances, frozen=True):
    """Instances by the value of one key of their metadata. A key that is missing is equal to nothing, and empty."""

    key: str
    test: Test
    value: str = ""

    def include(self, labels: Mapping[str, str], annotations: Mapping[str, str]) -> bool:
        """Whether the value is as it should be."""
        found = annotations.get(_META + self.key, labels.get(self.key))
        if found is None:
            return self.test == "empty"
        return _TESTS[self.test](found, self.value)


class HasKey(Instances, frozen=True):
    """Instances whose metadata have a key."""

    key: str

    def include(self, labels: Mapping[str, str], annotations: Mapping[str, str]) -> bool:
        """Whether it is there."""
        return _META + self.key in annotations or self.key in labels


class Tagged(Instances, frozen=True):
    """Instances with a tag; without one named, with any."""

    tag: str = ""

    def include(self, labels: Mapping[str, str], annotations: Mapping[str, str]) -> bool:  # noqa: ARG002 - the base's
        """Whether it is there."""
        tags = tags_of(annotations)
        return self.tag in tags if self.tag else bool(tags)


class Not(Instances, frozen=True):
    """All others."""

    of: Instances

    def include(self, labels: Mapping[str, str], annotations: Mapping[str, str]) -> bool:
        """Whether it is another."""
        return not self.of.include(labels, annotations)


class Both(Instances, frozen=True):
    """What two expressions hold for (`and`)."""

    one: Instances
    other: Instances

    def include(self, labels: Mapping[str, str], annotations: Mapping[str, str]) -> bool:
        """Whether both do."""
        return self.one.include(labels, annotations) and self.other.include(labels, annotations)


class Either(Instances, frozen=True):
    """What one of two expressions holds for (`or`)."""

    one: Instances
    other: Instances

    def include(self, labels: Mapping[str, str], annotations: Mapping[str, str]) -> bool:
        """Whether one does."""
        return self.one.include(labels, annotations) or self.other.include(labels, annotations)


def tags_of(annotations: Mapping[str, str]) -> tuple[str, ...]:
    """A pod's tags; a comma within one has a backslash before it."""
    written = annotations.get(_TAGS, "")
    return tuple(tag.replace("\\,", ",") for tag in _SEPARATOR.split(written) if tag)


@lru_cache(maxsize=1024)
def _expression(pattern: str) -> Callable[[str], bool]:
    import re2  # when there is something to match: istiod starts without it

    compiled = re2.compile(pattern)
    return lambda text: compiled.search(text) is not None


_TESTS: Mapping[Test, Callable[[str, str], bool]] = {
    "equals": lambda found, value: found == value,
    "contains": lambda found, value: value in found,
    "matches": lambda found, value: _expression(value)(found),
    "empty": lambda found, _: not found,
}


class FilterError(ValueError):
    """An expression that is none, or that the lab does not carry out."""


class _Token(NamedTuple):
    """A piece of an expression; `quoted` text is never a word of the language."""

    text: str
    quoted: bool = False


_PIECE = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|`([^`]*)`|(==|!=|[()\[\]])|([^\s()\[\]"`=!]+))')
_LONGEST = 8192
_DEEPEST = 100


def _tokens(text: str) -> Iterator[_Token]:
    place = 0
    while place < len(text.rstrip()):
        found = _PIECE.match(text, place)
        if found is None:
            raise FilterError(f"{text[place : place + 20]!r} is not understood")
        quoted, raw, sign, word = found.groups()
        if quoted is not None:
            yield _Token(re.sub(r"\\(.)", r"\1", quoted), quoted=True)
        elif raw is not None:
            yield _Token(raw, quoted=True)
        else:
            yield _Token(sign or word)
        place = found.end()


@lru_cache(maxsize=1024)
def parse(text: str) -> Instances:
    """The instances that an expression means.

    Raises:
        FilterError: it is not an expression of Consul's, or asks for what the lab does not know of instances.
    """
    if len(text) > _LONGEST:
        raise FilterError(f"an expression has at most {_LONGEST} characters")
    parser = _Parser(list(_tokens(text)))
    found = parser.either()
    if parser.left:
        raise FilterError(f"{parser.left[0].text!r} is not understood there")
    return found


class _Parser:
    """Takes the tokens from the left; one method for each level of precedence, `or` below `and` below `not`."""

    def __init__(self, tokens: list[_Token]) -> None:
        self.left = tokens
        self._depth = 0

    def either(self) -> Instances:
        """Expressions between `or`."""
        self._depth += 1
        if self._depth > _DEEPEST:
            raise FilterError(f"parentheses go {_DEEPEST} deep at most")
        found = self._both()
        while self._takes("or"):
            found = Either(found, self._both())
        self._depth -= 1
        return found

    def _both(self) -> Instances:
        found = self._negated()
        while self._takes("and"):
            found = Both(found, self._negated())
        return found

    def _negated(self) -> Instances:
        turned = False
        while self._takes("not"):
            turned = not turned
        found = self._one()
        return Not(found) if turned else found

    def _one(self) -> Instances:
        if self._takes("("):
            found = self.either()
            self._expect(")")
            return found
        first = self._next("a selector or a value")
        value = first if self._sees("in") or self._sees("not") else None
        if value is not None and (first.quoted or not first.text.startswith(("Service.", "Node.", "Checks"))):
            turned = self._takes("not")
            self._expect("in")
            found = _held(self._selector(self._next("a selector")), "contains", value.text)
            return Not(found) if turned else found
        if first.quoted:
            raise FilterError(f'after "{first.text}" comes `in` or `not in`')
        return self._tested(self._selector(first))

    def _tested(self, selector: tuple[str, ...]) -> Instances:
        if self._takes("=="):
            return _held(selector, "equals", self._next("a value").text)
        if self._takes("!="):
            return Not(_held(selector, "equals", self._next("a value").text))
        if self._takes("is"):
            turned = self._takes("not")
            self._expect("empty")
            found = _held(selector, "empty", "")
            return Not(found) if turned else found
        turned = self._takes("not")
        for word in ("contains", "matches"):
            if self._takes(word):
                found = _held(selector, "contains" if word == "contains" else "matches", self._next("a value").text)
                return Not(found) if turned else found
        self._next("==, !=, is, contains, matches or in")
        raise FilterError(f"{'.'.join(selector)} is followed by ==, !=, is, contains, matches or in")

    def _selector(self, first: _Token) -> tuple[str, ...]:
        """The names of a selector: after dots, or in brackets."""
        names = first.text.split(".")
        while self._takes("["):
            names.append(self._next("a key in quotes").text)
            self._expect("]")
        if not all(names):
            raise FilterError(f"{first.text!r} is not a selector")
        return tuple(names)

    def _sees(self, word: str) -> bool:
        return bool(self.left) and self.left[0] == _Token(word)

    def _takes(self, word: str) -> bool:
        if self._sees(word):
            self.left.pop(0)
            return True
        return False

    def _expect(self, word: str) -> None:
        if not self._takes(word):
            raise FilterError(
                f"`{word}` is missing" + (f" before {self.left[0].text!r}" if self.left else " at the end")
            )

    def _next(self, wanted: str) -> _Token:
        if not self.left:
            raise FilterError(f"it ends where {wanted} should be")
        return self.left.pop(0)


def _held(selector: tuple[str, ...], test: Test, value: str) -> Instances:
    """A test of what a selector means."""
    if test == "matches":
        _check(value)
    match selector:
        case ("Service", "Meta", *rest) if rest:
            return Meta(".".join(rest), test, value)
        case ("Service", "Meta") if test == "contains":
            return HasKey(value)
        case ("Service", "Tags") if test == "contains":
            return Tagged(value)
        case ("Service", "Tags") if test == "empty":
            return Not(Tagged())
        case ("Service", "Meta") | ("Service", "Tags"):
            why = "has several values: it takes `in`" + " and `is empty`" * (selector[1] == "Tags")
        case _:
            why = "is not known of instances in this lab: it knows Service.Meta.KEY and Service.Tags"
    raise FilterError(f"{'.'.join(selector)} {why}")


def _check(pattern: str) -> None:
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(pattern, options)
    except re2.error as failure:
        raise FilterError(f"{pattern!r} is not an expression of RE2: {failure}") from None
