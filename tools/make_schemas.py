#!/usr/bin/env python3
"""Make `lab/mesh_lab/kube/schemas/kubernetes.json.gz`: the served kinds' definitions, out of `kubernetes-validate`.

    python3 -m venv /tmp/schemas && /tmp/schemas/bin/pip install kubernetes-validate
    .venv/bin/python tools/make_schemas.py /tmp/schemas/lib/python3*/site-packages/kubernetes_validate

The package holds every version of Kubernetes and is over 100 MB, so the lab keeps a slice of one version: names, types,
formats, required fields, the `x-kubernetes-*` keys that patches need, and the first sentence of each description for
`kubectl explain`.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import sys
from pathlib import Path
from typing import Any

from mesh_lab.kube.registry.kinds import RESOURCES

VERSION = "1.36"
OUTPUT = Path(__file__).parent.parent / "lab/mesh_lab/kube/schemas/kubernetes.json.gz"

# Kinds that are sent in bodies or subresources, and are not resources of their own.
EXTRA = (
    "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Status",
    "io.k8s.api.autoscaling.v1.Scale",
    "io.k8s.api.policy.v1.Eviction",
    "io.k8s.api.authentication.v1.TokenRequest",
    "io.k8s.api.core.v1.Binding",
)
KEPT = (
    "type",
    "format",
    "required",
    "x-kubernetes-patch-merge-key",
    "x-kubernetes-patch-strategy",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
    "x-kubernetes-group-version-kind",
)
REF = "#/$defs/"
NEW_REF = "#/components/schemas/"


def main() -> int:
    """Write the slice and say how large it is."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("package", type=Path, help="the directory of the installed package kubernetes_validate")
    arguments.add_argument("--version", default=VERSION, help=f"of Kubernetes (default: {VERSION})")
    options = arguments.parse_args()
    source = options.package / "kubernetes-json-schema" / f"v{options.version}.0-local" / "_definitions.json"
    if not source.is_file():
        print(f"{source} does not exist: is kubernetes-validate installed there?", file=sys.stderr)  # noqa: T201
        return 1
    definitions = json.loads(source.read_text())["$defs"]
    names = closure(definitions, [*roots(definitions), *EXTRA])
    kept = {name: slim(definitions[name]) for name in sorted(names)}
    body = json.dumps({"version": options.version, "definitions": kept}, separators=(",", ":"), sort_keys=True)
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    # No time of making in the file, so that the same input gives the same bytes.
    OUTPUT.write_bytes(gzip.compress(body.encode(), 9, mtime=0))
    print(f"{OUTPUT}: {len(kept)} definitions, {OUTPUT.stat().st_size} bytes")  # noqa: T201
    return 0


def roots(definitions: dict[str, Any]) -> list[str]:
    """The definitions of the kinds in the table, and of their lists."""
    wanted = {(r.group, r.version, kind) for r in RESOURCES for kind in (r.kind, f"{r.kind}List")}
    return [
        name
        for name, definition in definitions.items()
        for gvk in definition.get("x-kubernetes-group-version-kind", ())
        if (gvk["group"], gvk["version"], gvk["kind"]) in wanted
    ]


def closure(definitions: dict[str, Any], names: list[str]) -> set[str]:
    """The names, and all that they refer to."""
    found: set[str] = set()
    while names:
        name = names.pop()
        if name not in found:
            found.add(name)
            names.extend(re.findall(r'"#/\$defs/([^"]+)"', json.dumps(definitions[name])))
    return found


def slim(schema: dict[str, Any]) -> dict[str, Any]:
    """What the lab uses of a definition or property."""
    kept: dict[str, Any] = {key: schema[key] for key in KEPT if key in schema}
    if isinstance(kept.get("type"), list):
        # The package allows null everywhere. A server takes null as absence, which needs no words.
        (kept["type"],) = (one for one in kept["type"] if one != "null")
    if "oneOf" in schema:
        kept["oneOf"] = [slim(one) for one in schema["oneOf"]]
    if ref := schema.get("$ref"):
        kept["$ref"] = ref.replace(REF, NEW_REF)
    if text := summary(schema.get("description", "")):
        kept["description"] = text
    if "properties" in schema:
        kept["properties"] = {name: slim(value) for name, value in schema["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            kept[key] = slim(schema[key])
    return kept


def summary(description: str) -> str:
    """The first sentence."""
    return re.split(r"(?<=[^.][.])\s|\n", description.strip(), maxsplit=1)[0]


if __name__ == "__main__":
    sys.exit(main())
