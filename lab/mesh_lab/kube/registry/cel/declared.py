"""What type a value of a schema has in CEL, and how large it may be.

https://kubernetes.io/docs/reference/using-api/cel/#openapi-v3-type-mapping, and `SchemaDeclType` of
https://pkg.go.dev/k8s.io/apiserver/pkg/cel/common
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from mesh_lab.kube.schemas import Form, Schema

MOST_BYTES = 3 * 1024 * 1024
"""The largest request: what nothing else bounds is no larger."""
_RESERVED = frozenset(
    {
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
    }
    | {"loop", "package", "namespace", "return", "var", "void", "while"}
)
_NAME = re.compile(r"[A-Za-z_./-][A-Za-z0-9_./-]*")
_ESCAPED = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}
_STRINGS = {
    "byte": ("bytes", 2, MOST_BYTES - 2),
    "duration": ("duration", 4, 32),
    "date": ("timestamp", 12, 12),
    "date-time": ("timestamp", 22, 42),
}
"""By format: the type, and the least and most characters that JSON has for a value."""
_SCALARS = {Form.BOOLEAN: ("bool", 4), Form.INTEGER: ("int", 1), Form.NUMBER: ("double", 1)}


@dataclass(frozen=True, eq=False)
class Declared:
    """The type of a value.

    `kind` is a scalar type of CEL, `dyn`, `list`, `map` or `object`. `most` bounds the number of its elements or
    characters (0: it has none), `least_bytes` is the size of its smallest JSON. Fields go by their escaped names.
    """

    kind: str
    least_bytes: int = 1
    most: int = 0
    element: Declared | None = None
    fields: Mapping[str, Declared] = field(default_factory=dict)


_META = Declared("object", 2, fields={name: Declared("string", 2, MOST_BYTES - 2) for name in ("name", "generateName")})
_TEXT = Declared("string", 2, MOST_BYTES - 2)


def declare(schema: Schema, *, root: bool = False) -> Declared | None:
    """The type of a schema's values; None for what expressions do not get to see.

    `root`: the schema is that of whole objects, whose kind, name and generateName expressions always see.
    """
    form, rules = schema.form, schema.rules
    if form is Form.INT_OR_STRING:
        return Declared("dyn", 1, rules.get("maxLength", MOST_BYTES - 2))
    if form is Form.STRING:
        return _declare_text(schema)
    if form in _SCALARS:
        kind, least = _SCALARS[form]
        return Declared(kind, least)
    if form is Form.LIST:
        element = declare(schema.values) if schema.values is not None else None
        return element and Declared("list", 2, rules.get("maxItems", _most_items(element)), element)
    if form is Form.MAP and schema.values is not None and schema.values.form is not Form.ANY:
        element = declare(schema.values)
        return element and Declared("map", 2, rules.get("maxProperties", _most_properties(element)), element)
    if form in (Form.OBJECT, Form.MAP):
        return _declare_object(schema, root or schema.embedded)
    return None


def escaped(name: str) -> str:
    """The name of a field as expressions write it; empty when they cannot.

    https://kubernetes.io/docs/reference/using-api/cel/#escaping
    """
    if name in _RESERVED:
        return f"__{name}__"
    if not _NAME.fullmatch(name):
        return ""
    return re.sub(r"__|[./-]", lambda found: _ESCAPED[found[0]], name)


def _declare_text(schema: Schema) -> Declared:
    if found := _STRINGS.get(schema.rules.get("format", "")):
        kind, least, most = found
        return Declared(kind, least, schema.rules.get("maxLength", most) if kind == "bytes" else most)
    longest = max((len(one) for one in schema.enum if isinstance(one, str)), default=0) or MOST_BYTES - 2
    # The limit of a schema counts characters, of which one may be four bytes.
    most = schema.rules["maxLength"] * 4 if "maxLength" in schema.rules else longest
    return Declared("string", 2, most)


def _declare_object(schema: Schema, whole: bool) -> Declared:
    fields: dict[str, Declared] = {}
    least = 2
    for name, one in schema.properties.items():
        declared = _META if whole and name == "metadata" else declare(one)
        if declared is None:
            continue
        if key := escaped(name):
            fields[key] = declared
        if name in schema.required and one.default is None:
            least += len(name) + declared.least_bytes + 4
    if whole:
        fields = {**fields, "apiVersion": _TEXT, "kind": _TEXT, "metadata": _META}
    return Declared("object", least, fields=fields)


def _most_items(element: Declared) -> int:
    """How many fit into a request: brackets, and a comma after each."""
    return (MOST_BYTES - 2) // (element.least_bytes + 1)


def _most_properties(element: Declared) -> int:
    """How many fit into a request: a key has two quotes and a colon at least, and a comma comes after each."""
    return (MOST_BYTES - 2) // (element.least_bytes + 6)
