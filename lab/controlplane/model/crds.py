"""CustomResourceDefinitions, generated from the types: `python -m lab.controlplane.model.crds` prints them.

msgspec knows each type's JSON Schema; what remains is to make it structural, as Kubernetes wants it (no references, no
alternatives with null), and to add Istio's columns, short names and categories.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import yaml

from lab.controlplane.model.kinds import KINDS, NETWORKING, Column, Kind

Schema = dict[str, Any]

_HEADER = "# Generated from lab/controlplane/model by `python -m lab.controlplane.model.crds`. Change the types.\n"
_REFERENCE = "#/$defs/"


def definitions() -> Iterator[Schema]:
    """The definition of each kind, in the order of the table."""
    for kind in KINDS.values():
        yield definition(kind)


def definition(kind: Kind) -> Schema:
    """One kind's definition. All versions share one schema; the first is stored."""
    schema = _resource_schema(kind)
    family = "networking-istio-io" if kind.group == NETWORKING else "security-istio-io"
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{kind.group}", "labels": {"app": "istio-pilot", "istio": "mesh-lab"}},
        "spec": {
            "group": kind.group,
            "names": {
                "kind": kind.name,
                "listKind": f"{kind.name}List",
                "plural": kind.plural,
                "singular": kind.name.lower(),
                "categories": ["istio-io", family],
                **({"shortNames": list(kind.short)} if kind.short else {}),
            },
            "scope": "Namespaced",
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": version == kind.versions[0],
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [_column(column) for column in kind.columns],
                    "schema": {"openAPIV3Schema": schema},
                }
                for version in kind.versions
            ],
        },
    }


def _column(column: Column) -> Schema:
    return {
        "name": column.name,
        "type": column.type,
        "jsonPath": column.json_path,
        **({"description": column.description} if column.description else {}),
    }


def _resource_schema(kind: Kind) -> Schema:
    _, components = msgspec.json.schema_components([kind.spec], ref_template=_REFERENCE + "{name}")
    spec = structural({"$ref": _REFERENCE + kind.name}, components)
    return {
        "type": "object",
        **({"required": ["spec"]} if kind.group == NETWORKING else {}),
        "properties": {
            "spec": spec,
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        },
    }


def structural(schema: Mapping[str, Any], components: Mapping[str, Schema]) -> Schema:
    """A schema with its references resolved and without null, which a structural schema may not offer.

    Raises ValueError for what has no structural form, so that no type can lose its checks unnoticed.
    """
    if "$ref" in schema:
        return structural(components[str(schema["$ref"]).removeprefix(_REFERENCE)], components)
    if "anyOf" in schema:
        options = [option for option in schema["anyOf"] if option != {"type": "null"}]
        if len(options) != 1:
            raise ValueError(f"no structural schema for {schema}")
        return structural(options[0], components) | _described(schema)
    result: Schema = dict(_described(schema))
    if "enum" in schema:
        # The literals of a type are strings throughout; None among them is an omitted field.
        return {"type": "string", "enum": [value for value in schema["enum"] if value is not None], **result}
    kind = schema.get("type")
    if kind == "object":
        result["type"] = "object"
        if "additionalProperties" in schema and "properties" not in schema:
            result["additionalProperties"] = structural(schema["additionalProperties"], components)
        else:
            result["properties"] = {name: structural(value, components) for name, value in schema["properties"].items()}
            if schema.get("required"):
                result["required"] = schema["required"]
    elif kind == "array":
        result |= {"type": "array", "items": structural(schema["items"], components)}
    elif kind in ("string", "integer", "number", "boolean"):
        result |= {"type": kind, **{key: schema[key] for key in _LIMITS if key in schema}}
    else:
        raise ValueError(f"no structural schema for {schema}")
    return result


_LIMITS = ("minimum", "maximum", "pattern", "minLength", "maxLength", "maxItems", "format")


def _described(schema: Mapping[str, Any]) -> Schema:
    text = schema.get("description")
    return {"description": " ".join(text.split())} if text else {}


class _Plain(yaml.SafeDumper):
    """Writes the schema out for every version, where YAML would refer to the first: such files are read by people."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the base class names it
        return True


def render() -> str:
    """The file `manifests/mesh/crds.yaml`."""
    documents = (yaml.dump(each, Dumper=_Plain, sort_keys=False, width=120) for each in definitions())
    return _HEADER + "---\n".join(documents)


if __name__ == "__main__":
    sys.stdout.write(render())
