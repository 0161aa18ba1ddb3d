"""Regular expressions beyond `matches`: `find` and `findAll`, in RE2's syntax.

https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-regex-library
"""

from __future__ import annotations

from typing import Any

from mesh_lab.kube.registry.cel.library.overloads import Overload


def _find(text: str, pattern: str) -> str:
    found = _compiled(pattern).search(text)
    return str(found.group()) if found else ""


def _find_all(text: str, pattern: str, most: int = -1) -> list[str]:
    found = [str(match.group()) for match in _compiled(pattern).finditer(text)]
    return found if most < 0 else found[:most]


def _compiled(pattern: str) -> Any:
    import re2  # when there is something to find: the API server starts without it

    try:
        return re2.compile(pattern)
    except re2.error as error:
        raise ValueError(f"Illegal regex: {error}") from error


FUNCTIONS = (
    Overload("find", ("string", "string"), "string", _find),
    Overload("findAll", ("string", "string"), "list(string)", _find_all),
    Overload("findAll", ("string", "string", "int"), "list(string)", _find_all),
)
