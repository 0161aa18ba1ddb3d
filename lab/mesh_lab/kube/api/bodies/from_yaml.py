"""Converts request bodies from YAML to JSON values.

YAML has what JSON has not: keys that are no text, dates, values that contain themselves, and aliases that expand a few
lines to gigabytes. None of that may pass: all code behind expects JSON.

libyaml takes the text apart into events, of which values are made here. PyYAML's own loaders first make a tree of
nodes of all events, in one step that keeps the interpreter from other threads for as long as it lasts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
import yaml
from yaml.constructor import SafeConstructor
from yaml.resolver import Resolver

MOST_BYTES = 6 * 1024 * 1024
"""How much text a body may hold once its aliases are written out: twice what a body itself may have."""
MOST_LEVELS = 254
"""How deep lists and objects may be nested; see `answers.DEPTH_LIMIT`."""

_TAG = "tag:yaml.org,2002:"
_STRING, _MERGE, _SEQUENCE, _MAPPING = f"{_TAG}str", f"{_TAG}merge", f"{_TAG}seq", f"{_TAG}map"
_LONGEST_INTEGER = 128
"""Characters of an integer: more than 64 bits need in any of YAML's ways to write them."""
_UNTYPED = frozenset({f"{_TAG}timestamp", f"{_TAG}value"})
"""Forms that are taken for the text that they are written as, like Kubernetes' decoder does: dates, and `=`."""

_BEGINNINGS = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _UNTYPED]
    for first, resolvers in Resolver.yaml_implicit_resolvers.items()
}


class YamlBodyError(ValueError):
    """The body is not YAML, or has no JSON value."""


def decode(body: bytes) -> Any:
    """Return the JSON value of a YAML body.

    Raises:
        YamlBodyError: it cannot be read, or has no JSON value.
    """
    parser = yaml.CSafeLoader(body)
    try:
        return _Document(parser.get_event).read()
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        raise error if isinstance(error, YamlBodyError) else YamlBodyError(str(error)) from error
    finally:
        parser.dispose()


@dataclass(slots=True)
class _Open:
    """A list or object that is being read. `bytes` counts what is in it so far, aliases written out."""

    value: Any
    anchor: str | None
    bytes: int = 1
    keys: list[Any] = field(default_factory=list)
    """The key whose value comes next, if it has been read."""
    merged: dict[str, Any] = field(default_factory=dict)
    """What `<<` merges in; the object's own keys override it."""

    def expects_key(self) -> bool:
        """Return whether the next event is a key of an object."""
        return isinstance(self.value, dict) and not self.keys


class _Document:
    """Reads the one document of a body, event by event."""

    def __init__(self, next_event: Callable[[], Any]) -> None:
        self._next = next_event
        self._anchors: dict[str, tuple[Any, int] | None] = {}
        self._open: list[_Open] = []
        self._result: Any = None

    def read(self) -> Any:
        """Read the value; None for a body without a document."""
        self._next()
        if isinstance(self._next(), yaml.StreamEndEvent):
            return None
        while not isinstance(event := self._next(), yaml.DocumentEndEvent):
            self._take(event)
        if not isinstance(event := self._next(), yaml.StreamEndEvent):
            raise YamlBodyError(f"expected a single document, but found another one{_place(event)}")
        return self._result

    def _take(self, event: Any) -> None:
        if isinstance(event, yaml.ScalarEvent):
            value, size = _scalar(event), len(event.value) + 1
            if event.anchor is not None:
                self._anchors[event.anchor] = value, size
            self._put(value, size, event)
        elif isinstance(event, yaml.MappingStartEvent):
            self._begin({}, event, _MAPPING)
        elif isinstance(event, yaml.SequenceStartEvent):
            self._begin([], event, _SEQUENCE)
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event)
        else:
            self._end(event)

    def _begin(self, value: Any, event: Any, usual: str) -> None:
        if event.tag not in (None, "!", usual):
            raise _unknown(event)
        if len(self._open) >= MOST_LEVELS:
            raise YamlBodyError(f"it is nested too deeply: {MOST_LEVELS} levels are the most")
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        self._open.append(_Open(value, event.anchor))

    def _end(self, event: Any) -> None:
        done = self._open.pop()
        if done.merged:
            done.value = {**done.merged, **done.value}
        if done.anchor is not None:
            self._anchors[done.anchor] = done.value, done.bytes
        self._put(done.value, done.bytes, event)

    def _alias(self, event: Any) -> None:
        if event.anchor not in self._anchors:
            raise YamlBodyError(f"found undefined alias {event.anchor!r}{_place(event)}")
        known = self._anchors[event.anchor]
        if known is None:
            # It contains itself, and so has no end.
            raise _bomb()
        self._put(*known, event)

    def _put(self, value: Any, size: int, event: Any) -> None:
        """The value where it belongs: in the list or object that is being read, or on top."""
        if value is _MERGES and not (self._open and self._open[-1].expects_key()):
            value = "<<"
        if not self._open:
            self._result = value
            return
        here = self._open[-1]
        here.bytes += size
        if here.bytes > MOST_BYTES:
            raise _bomb()
        if isinstance(here.value, list):
            here.value.append(value)
        elif here.expects_key():
            here.keys.append(_MERGES if value is _MERGES else _key(value, event))
        elif (key := here.keys.pop()) is _MERGES:
            for source in _sources(value, event):
                for name, inner in source.items():
                    here.merged.setdefault(name, inner)
        else:
            here.value[key] = value


class _Merges:
    """The key `<<` (merge)."""


_MERGES = _Merges()


def _scalar(event: Any) -> Any:
    text: str = event.value
    tag = event.tag
    if tag is None or tag == "!":
        if not event.implicit[0]:
            return text
        resolvers = _BEGINNINGS.get(text[:1])
        tag = next((tag for tag, pattern in resolvers if pattern.match(text)), _STRING) if resolvers else _STRING
    if tag == _STRING:
        return text
    read = _READERS.get(tag)
    if read is None:
        raise _unknown(event)
    return read(yaml.ScalarNode(tag, text))


def _integer(node: yaml.ScalarNode) -> int:
    if len(node.value) > _LONGEST_INTEGER:
        raise YamlBodyError("an integer is no 64-bit number")
    number: int = _CONSTRUCTOR.construct_yaml_int(node)
    if not -(2**63) <= number < 2**64:
        raise YamlBodyError(f"{node.value} is no 64-bit number")
    return number


def _float(node: yaml.ScalarNode) -> float | None:
    number: float = _CONSTRUCTOR.construct_yaml_float(node)
    return number if math.isfinite(number) else None


def _bytes(node: yaml.ScalarNode) -> Any:  # noqa: ARG001
    raise YamlBodyError("bytes (!!binary) are not JSON serializable")


_CONSTRUCTOR = SafeConstructor()
_READERS: Mapping[str, Callable[[yaml.ScalarNode], Any]] = {
    f"{_TAG}null": _CONSTRUCTOR.construct_yaml_null,
    f"{_TAG}bool": _CONSTRUCTOR.construct_yaml_bool,
    f"{_TAG}int": _integer,
    f"{_TAG}float": _float,
    f"{_TAG}binary": _bytes,
    f"{_TAG}timestamp": lambda node: node.value,
    _MERGE: lambda node: _MERGES,  # noqa: ARG005
}


def _key(value: Any, event: Any) -> str:
    """Return a key as text: `1: x` means `"1": x`."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict | list):
        raise YamlBodyError(f"found unhashable key{_place(event)}")
    return orjson.dumps(value).decode()


def _sources(value: Any, event: Any) -> list[dict[str, Any]]:
    """Return the objects that `<<` merges in; earlier ones override later ones."""
    sources = value if isinstance(value, list) else [value]
    if not all(isinstance(source, dict) for source in sources):
        raise YamlBodyError(f"expected a mapping or list of mappings for merging{_place(event)}")
    return sources


def _unknown(event: Any) -> YamlBodyError:
    return YamlBodyError(f"could not determine a constructor for the tag {event.tag!r}{_place(event)}")


def _place(event: Any) -> str:
    return f" at line {event.start_mark.line + 1}, column {event.start_mark.column + 1}"


def _bomb() -> YamlBodyError:
    return YamlBodyError("the document contains excessive aliasing")
