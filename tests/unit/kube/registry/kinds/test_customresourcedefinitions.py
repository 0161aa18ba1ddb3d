"""CustomResourceDefinitions that are refused."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_lab.kube import resources as kinds
from mesh_lab.kube.registry import Registry
from tests.unit.kube.registry.manifests import crd, set_at
from tests.unit.kube.registry.refusals import Case, refused

SCHEMA = "spec.versions.0.schema.openAPIV3Schema"
AT_SCHEMA = "spec.versions[0].schema.openAPIV3Schema"
CASES: list[Case] = [
    (
        "metadata.name",
        "wrong.example.com",
        "metadata.name",
        'Invalid value: "wrong.example.com": must be spec.names.pl',
    ),
    ("spec.scope", "Planet", "spec.scope", 'Unsupported value: "Planet": supported values: "Cluster", "Namespaced"'),
    ("spec.versions", [], "spec.versions", "Required value: must have exactly one version marked as storage version"),
    ("spec.versions.1.storage", True, "spec.versions", "Invalid value: [{"),
    ("spec.versions.0.schema", ..., AT_SCHEMA, "Required value: schemas are required"),
    (f"{SCHEMA}.type", "string", f"{AT_SCHEMA}.type", 'Invalid value: "string": must be object at the root'),
    (
        f"{SCHEMA}.properties.spec.properties.host",
        {"description": "untyped"},
        f"{AT_SCHEMA}.properties[spec].properties[host].type",
        "Required value: must not be empty for specified object fields",
    ),
    (
        f"{SCHEMA}.properties.spec.properties.host.type",
        "text",
        f"{AT_SCHEMA}.properties[spec].properties[host].type",
        'Unsupported value: "text": supported values: "array"',
    ),
    (
        f"{SCHEMA}.properties.spec.properties.host.pattern",
        "(",
        f"{AT_SCHEMA}.properties[spec].properties[host].pattern",
        'Invalid value: "(": must be a valid regular expression',
    ),
    (
        "spec.versions.0.additionalPrinterColumns.0.type",
        "text",
        "spec.versions[0].additionalPrinterColumns[0].type",
        'Invalid value: "text": must be one of',
    ),
    ("spec.names.kind", ..., "spec.names.kind", "Required value"),
    ("spec.group", "example", "spec.group", 'Invalid value: "example": should be a domain with at least one dot'),
]


@pytest.mark.parametrize(("path", "value", "field", "words"), CASES, ids=lambda one: str(one)[:40])
async def test_an_invalid_definition_is_refused(
    registry: Registry, path: str, value: Any, field: str, words: str
) -> None:
    obj = crd()
    set_at(obj, path, value)
    causes = await refused(registry, kinds.CRDS, obj)
    assert causes[field].startswith(words)
