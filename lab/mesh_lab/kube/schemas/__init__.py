"""Schemas of the served kinds, in one form for built-in and custom resources.

Those of built-in kinds come from `kubernetes.json.gz` (see `tools/make_schemas.py`), those of custom resources from
their CustomResourceDefinition (`mesh_lab.kube.schemas.structural`).
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from importlib import resources
from typing import Any

import msgspec

_FILE = "kubernetes.json.gz"
_REF = "#/components/schemas/"
DELETE_OPTIONS = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"
OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


class Form(Enum):
    """What shape a value has.

    `OBJECT` has named fields, `MAP` has any; `ANY` is not looked into. `SCHEMA` is a JSON schema inside another one,
    or a list of them, or true or false in its place.
    """

    OBJECT = "object"
    MAP = "map"
    LIST = "array"
    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    INT_OR_STRING = "int-or-string"
    QUANTITY = "quantity"
    TIME = "date-time"
    SCHEMA = "schema"
    ANY = "any"


@dataclass(frozen=True, slots=True)
class Validation:
    """A rule in CEL that values of a schema are held to (`x-kubernetes-validations`).

    `place` is where it stands below its schema.
    """

    place: str
    rule: str
    message: str = ""
    message_expression: str = ""
    reason: str = ""
    field_path: str = ""
    optional_old_self: bool | None = None


@dataclass(slots=True, eq=False)
class Schema:
    """The schema of one value.

    `go_type` is the type's name in Kubernetes' Go code, which its error messages quote. `merge_key` and `strategies`
    say how a strategic merge patch treats a list or map. `rules` holds the rest of a custom resource's JSON schema
    (`minimum`, `pattern`, `oneOf`, ...); built-in kinds have rules of their own in `mesh_lab.kube.registry`.
    """

    form: Form
    properties: Mapping[str, Schema] = field(default_factory=dict)
    values: Schema | None = None
    required: tuple[str, ...] = ()
    go_type: str = ""
    merge_key: str = ""
    strategies: frozenset[str] = frozenset()
    list_type: str = ""
    map_keys: tuple[str, ...] = ()
    atomic: bool = False
    preserve: bool = False
    embedded: bool = False
    nullable: bool = False
    enum: tuple[Any, ...] = ()
    default: Any = None
    has_defaults: bool = False
    rules: Mapping[str, Any] = field(default_factory=dict)
    validations: tuple[Validation, ...] = ()
    has_validations: bool = False
    """Whether this schema or one below it has rules in CEL."""
    known: dict[str, Schema] = field(default_factory=dict)
    """The schemas of declared fields that were looked up before, for those who do that at each write."""


ANY = Schema(Form.ANY, go_type="interface {}")
_SCALARS = {
    ("string", ""): (Form.STRING, "string"),
    ("string", "byte"): (Form.STRING, "[]uint8"),
    ("string", "date-time"): (Form.TIME, "v1.Time"),
    ("integer", "int32"): (Form.INTEGER, "int32"),
    ("integer", "int64"): (Form.INTEGER, "int64"),
    ("integer", ""): (Form.INTEGER, "int64"),
    ("number", "double"): (Form.NUMBER, "float64"),
    ("boolean", ""): (Form.BOOLEAN, "bool"),
}
# Types that encode themselves: what their definition says is not what they accept.
_SPECIAL = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": (Form.QUANTITY, "resource.Quantity"),
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": (Form.INT_OR_STRING, "intstr.IntOrString"),
}
# Parts of a JSON schema, of which the definitions say nothing at all.
_JSON_SCHEMA = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"
_JSON_SCHEMAS = frozenset({f"{_JSON_SCHEMA}OrArray", f"{_JSON_SCHEMA}OrBool"})


class _Published(msgspec.Struct):
    definitions: dict[str, msgspec.Raw]


class _Kinds(msgspec.Struct, rename={"all": "x-kubernetes-group-version-kind"}):
    all: tuple[dict[str, str], ...] = ()


@cache
def definitions() -> Mapping[str, bytes]:
    """The published definitions as OpenAPI v3 component schemas, by their full names.

    Each is JSON: parsed, all of them would be 2 MB, and most are only passed on.
    """
    body = gzip.decompress(resources.files(__package__).joinpath(_FILE).read_bytes())
    return {name: bytes(raw) for name, raw in msgspec.json.decode(body, type=_Published).definitions.items()}


@cache
def _names() -> Mapping[tuple[str, str], str]:
    """The full names of definitions by API version and kind; where several define one, the first of them."""
    found: dict[tuple[str, str], str] = {}
    for name, text in definitions().items():
        for kind in msgspec.json.decode(text, type=_Kinds).all:
            group, version = kind["group"], kind["version"]
            found.setdefault((f"{group}/{version}" if group else version, kind["kind"]), name)
    return found


def definition_name(api_version: str, kind: str) -> str:
    """The full name of a kind's definition (`io.k8s.api.core.v1.Pod`).

    Raises:
        KeyError: there is no such built-in kind.
    """
    return _names()[api_version, kind]


@cache
def builtin_schema(api_version: str, kind: str) -> Schema:
    """The schema of a built-in kind.

    Raises:
        KeyError: there is no such kind.
    """
    return named_schema(definition_name(api_version, kind))


@cache
def named_schema(name: str) -> Schema:
    """The schema of a definition by its full name. Types that contain themselves contain the very same schema."""
    definition = json.loads(definitions()[name])
    *_, package, short = name.split(".")
    if name in _SPECIAL:
        form, go_type = _SPECIAL[name]
        return Schema(form, go_type=go_type)
    if name in _JSON_SCHEMAS:
        return Schema(Form.SCHEMA, values=named_schema(_JSON_SCHEMA), go_type=f"{package}.{short}")
    if "properties" not in definition and definition.get("type") != "string":
        return ANY
    schema = _compile(definition)
    schema.go_type = f"{package}.{short}"
    return schema


def _compile(definition: Mapping[str, Any]) -> Schema:
    kind = definition.get("type", "object")
    if kind == "object" and "properties" in definition:
        return Schema(
            Form.OBJECT,
            _Properties(definition["properties"]),
            required=tuple(definition.get("required", ())),
            atomic=definition.get("x-kubernetes-map-type") == "atomic",
        )
    if kind == "object":
        values = _resolve(definition["additionalProperties"]) if "additionalProperties" in definition else ANY
        return Schema(Form.MAP, values=values, go_type=f"map[string]{values.go_type}")
    if kind == "array":
        values = _resolve(definition["items"])
        return Schema(Form.LIST, values=values, go_type=f"[]{values.go_type}")
    form, go_type = _SCALARS[kind, definition.get("format", "")]
    return Schema(form, go_type=go_type)


def _resolve(usage: Mapping[str, Any]) -> Schema:
    """The schema of a property or of a list's items: a reference, or a description in place."""
    if ref := usage.get("$ref"):
        target = named_schema(ref.removeprefix(_REF))
        if "x-kubernetes-patch-strategy" not in usage:
            return target
        # The way to patch belongs to the place of use; what is used stays shared.
        return _patched(
            Schema(
                target.form, target.properties, target.values, target.required, target.go_type, atomic=target.atomic
            ),
            usage,
        )
    return _patched(_compile(usage), usage)


def _patched(schema: Schema, usage: Mapping[str, Any]) -> Schema:
    schema.merge_key = usage.get("x-kubernetes-patch-merge-key", "")
    schema.strategies = frozenset(filter(None, usage.get("x-kubernetes-patch-strategy", "").split(",")))
    schema.list_type = usage.get("x-kubernetes-list-type", "")
    schema.map_keys = tuple(usage.get("x-kubernetes-list-map-keys", ()))
    schema.atomic = schema.atomic or usage.get("x-kubernetes-map-type") == "atomic"
    return schema


class _Properties(Mapping[str, Schema]):
    """Fields whose schemas are made when they are first looked at: JSONSchemaProps contains itself."""

    def __init__(self, usages: Mapping[str, Mapping[str, Any]]) -> None:
        self._usages = usages
        self._made: dict[str, Schema] = {}

    def __getitem__(self, name: str) -> Schema:
        made = self._made.get(name)
        if made is None:
            made = self._made[name] = _resolve(self._usages[name])
        return made

    def __contains__(self, name: object) -> bool:
        return name in self._usages

    def __iter__(self) -> Iterator[str]:
        return iter(self._usages)

    def __len__(self) -> int:
        return len(self._usages)
