"""Versions as https://semver.org has them, and the order that they and quantities have.

https://pkg.go.dev/k8s.io/apiserver/pkg/cel/library#SemverLib
"""

from __future__ import annotations

import re
from typing import Any

from mesh_lab.kube.registry.cel.library.overloads import Opaque, Overload
from mesh_lab.kube.registry.cel.library.quantities import QUANTITY, number

SEMVER = "kubernetes.Semver"
_NUMBER = r"(0|[1-9]\d*)"
_TEXT = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}"
    r"(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?"
    r"(?:\+([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?"
)


def _parsed(text: str) -> re.Match[str]:
    found = _TEXT.fullmatch(text)
    if found is None:
        raise ValueError(f'"{text}" is not a semantic version')
    return found


def _semver(text: str, normalize: bool = False) -> Opaque:
    return Opaque(SEMVER, _parsed(_normalized(text) if normalize else text).string)


def _normalized(text: str) -> str:
    """Without a `v` in front and zeros at the start of numbers, and with all three numbers."""
    core, *rest = re.split(r"([-+])", text.removeprefix("v"), maxsplit=1)
    numbers = [part.lstrip("0") or "0" if part else part for part in core.split(".")]
    return ".".join([*numbers, *["0"] * (3 - len(numbers))]) + "".join(rest)


def _is_semver(text: str, normalize: bool = False) -> bool:
    try:
        _semver(text, normalize)
    except ValueError:
        return False
    return True


def _key(version: Opaque) -> tuple[Any, ...]:
    """What versions are ordered by: a pre-release is before its release, numbers before words; a build counts not."""
    major, minor, patch, before, _ = _parsed(version.text).groups()
    parts = [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in (before or "").split(".") if part]
    return int(major), int(minor), int(patch), before is None, parts


def _compare(one: Opaque, other: Opaque) -> int:
    if one.type != other.type:
        raise ValueError("no such overload")
    first, second = _rank(one), _rank(other)
    return int(first > second) - int(first < second)


def _rank(value: Opaque) -> Any:
    return number(value) if value.type == QUANTITY else _key(value)


FUNCTIONS = (
    Overload("semver", ("string",), SEMVER, _semver, member=False),
    Overload("semver", ("string", "bool"), SEMVER, _semver, member=False),
    Overload("isSemver", ("string",), "bool", _is_semver, member=False),
    Overload("isSemver", ("string", "bool"), "bool", _is_semver, member=False),
    *(
        Overload(name, (SEMVER,), "int", lambda version, place=place: _key(version)[place])
        for place, name in enumerate(("major", "minor", "patch"))
    ),
    *(Overload("compareTo", (kind, kind), "int", _compare) for kind in (QUANTITY, SEMVER)),
    *(
        Overload(name, (kind, kind), "bool", lambda one, other, sign=sign: _compare(one, other) == sign)
        for name, sign in (("isGreaterThan", 1), ("isLessThan", -1))
        for kind in (QUANTITY, SEMVER)
    ),
)
