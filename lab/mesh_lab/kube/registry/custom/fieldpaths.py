"""The `fieldPath` of a rule: a JSON path of names only, which the schema has to know."""

from __future__ import annotations

import re

from mesh_lab.kube.schemas import Form, Schema

_STEP = re.compile(r"\.([^.\[\]']+)|\['((?:[^'\\]|\\['\\abfnrtv])*)'\]")
_ESCAPED = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def is_valid(path: str, schema: Schema) -> bool:
    """Whether a path leads from a schema to a field that it knows."""
    at, where = 0, schema
    while at < len(path):
        found = _STEP.match(path, at)
        if found is None:
            return False
        name = found[1] or re.sub(r"\\(.)", lambda mark: _ESCAPED.get(mark[1], mark[1]), found[2])
        below = where.properties.get(name) if where.properties else where.values if where.form is Form.MAP else None
        if below is None:
            return False
        at, where = found.end(), below
    return bool(path)
