"""CustomResourceDefinitions. What they add to the served resources: `mesh_lab.kube.registry.custom.definitions`.

A definition is established in the write that creates it, so that a client may use it as soon as it has its answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from mesh_lab.conditions import condition, find, updated
from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import Cause
from mesh_lab.kube.registry.behaviour import Behaviour, Cluster
from mesh_lab.kube.registry.custom import rulechecks
from mesh_lab.kube.registry.custom.definitions import CLEANUP, definition_of
from mesh_lab.kube.registry.printing.columns import NAME_AND_CREATION
from mesh_lab.kube.registry.rules.causes import duplicates, immutable, invalid, required
from mesh_lab.kube.registry.rules.fields import Rules, one_of
from mesh_lab.kube.registry.syntax.names import label_problem, service_name_problem, subdomain_problem
from mesh_lab.kube.resources import CRDS, Resource
from mesh_lab.kube.schemas.structural import compile_custom

_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_COLUMN_TYPES = ("integer", "number", "string", "boolean", "date")
_FIELDS: Rules = {
    ("CustomResourceDefinitionSpec", "scope"): one_of("Cluster", "Namespaced"),
    ("CustomResourceConversion", "strategy"): one_of("None", "Webhook"),
}


def _fill_defaults(crd: Object) -> None:
    """Defaults of a CustomResourceDefinition's names and conversion."""
    spec = crd.setdefault("spec", {})
    spec.setdefault("conversion", {}).setdefault("strategy", "None")
    names = spec.setdefault("names", {})
    if kind := names.get("kind"):
        names.setdefault("singular", kind.lower())
        names.setdefault("listKind", f"{kind}List")


def _check(crd: Object) -> Iterator[Cause]:
    """Everything that is wrong with a CustomResourceDefinition."""
    causes = [*_problems(crd)]
    yield from causes
    if not causes:
        # Large objects are checked beside the loop, and large schemas are best compiled there: it remembers them.
        for index, version in enumerate(crd["spec"]["versions"]):
            schema = compile_custom((version.get("schema") or {}).get("openAPIV3Schema"))
            yield from rulechecks.check(schema, f"spec.versions[{index}].schema.openAPIV3Schema")


def _problems(crd: Object) -> Iterator[Cause]:
    spec, name = crd.get("spec") or {}, crd["metadata"].get("name", "")
    names, group = spec.get("names") or {}, spec.get("group", "")
    if group and names.get("plural") and name != f"{names['plural']}.{group}":
        yield invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group')
    if group and (problem := subdomain_problem(group)):
        yield invalid("spec.group", group, problem)
    elif group and "." not in group:
        yield invalid("spec.group", group, "should be a domain with at least one dot")
    yield from _check_names(names)
    versions = spec.get("versions") or []
    if not versions:
        yield required("spec.versions", "must have exactly one version marked as storage version")
    elif sum(bool(version.get("storage")) for version in versions) != 1:
        yield invalid("spec.versions", _summary(versions), "must have exactly one version marked as storage version")
    yield from duplicates((version.get("name") for version in versions), "spec.versions", "name")
    for index, version in enumerate(versions):
        yield from _check_version(version, f"spec.versions[{index}]")
    if (spec.get("conversion") or {}).get("strategy") == "Webhook":
        yield invalid("spec.conversion.strategy", "Webhook", "this cluster converts between versions only with None")


def _check_update(new: Object, old: Object) -> Iterator[Cause]:
    """What objects were stored under stays."""
    before, after = old["spec"], new["spec"]
    for field in ("group", "scope"):
        yield from immutable(f"spec.{field}", after.get(field), before.get(field))
    for field in ("plural", "kind"):
        yield from immutable(f"spec.names.{field}", after["names"].get(field), before["names"].get(field))
    present = [version.get("name") for version in after.get("versions") or ()]
    for index, stored in enumerate((old.get("status") or {}).get("storedVersions") or ()):
        if stored not in present:
            yield invalid(f"status.storedVersions[{index}]", stored, "missing from spec.versions")


def _check_names(names: dict[str, Any]) -> Iterator[Cause]:
    for field in ("plural", "singular"):
        if (text := names.get(field)) and (problem := service_name_problem(text)):
            yield invalid(f"spec.names.{field}", text, problem)
    for field in ("kind", "listKind"):
        if (text := names.get(field)) and (problem := service_name_problem(text.lower())):
            yield invalid(f"spec.names.{field}", text, f"may have mixed case, but should otherwise match: {problem}")
    for field in ("shortNames", "categories"):
        for index, text in enumerate(names.get(field) or ()):
            if problem := service_name_problem(text):
                yield invalid(f"spec.names.{field}[{index}]", text, problem)


def _check_version(version: dict[str, Any], path: str) -> Iterator[Cause]:
    name = version.get("name", "")
    if name and (problem := label_problem(name)):
        yield invalid(f"{path}.name", name, problem)
    schema = (version.get("schema") or {}).get("openAPIV3Schema")
    where = f"{path}.schema.openAPIV3Schema"
    if schema is None:
        yield required(where, "schemas are required")
    elif schema.get("type") != "object":
        yield invalid(f"{where}.type", schema.get("type", ""), "must be object at the root")
    else:
        yield from _check_schema(schema, where)
    for index, column in enumerate(version.get("additionalPrinterColumns") or ()):
        if (kind := column.get("type")) not in _COLUMN_TYPES:
            words = f"must be one of {','.join(_COLUMN_TYPES)}"
            yield invalid(f"{path}.additionalPrinterColumns[{index}].type", kind, words)


def _check_schema(schema: dict[str, Any], path: str) -> Iterator[Cause]:
    """A structural schema: each value has a type, or says that it may have any."""
    kind = schema.get("type", "")
    free = schema.get("x-kubernetes-preserve-unknown-fields") or schema.get("x-kubernetes-int-or-string")
    if not kind and not free:
        yield required(f"{path}.type", "must not be empty for specified object fields")
    elif kind and kind not in _TYPES:
        words = ", ".join(f'"{one}"' for one in _TYPES)
        text = f'Unsupported value: "{kind}": supported values: {words}'
        yield Cause(f"{path}.type", text, "FieldValueNotSupported")
    if kind == "array" and not isinstance(schema.get("items"), dict):
        yield required(f"{path}.items", "must be specified")
    if (pattern := schema.get("pattern")) is not None and not _compiles(pattern):
        yield invalid(f"{path}.pattern", pattern, "must be a valid regular expression")
    for name, one in (schema.get("properties") or {}).items():
        yield from _check_schema(one, f"{path}.properties[{name}]")
    for field in ("items", "additionalProperties"):
        if isinstance(one := schema.get(field), dict):
            yield from _check_schema(one, f"{path}.{field}")


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True


def _summary(versions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: version[key] for key in ("name", "served", "storage") if key in version} for version in versions]


def _allocate(cluster: Cluster, crd: Object, old: Object | None) -> None:
    """Accept the names of a definition, unless others have them, and hold it back when it is deleted."""
    metadata, spec = crd["metadata"], crd["spec"]
    if not metadata.get("deletionTimestamp") and CLEANUP not in metadata.get("finalizers", ()):
        metadata["finalizers"] = [*metadata.get("finalizers", ()), CLEANUP]
    before = (old or {}).get("status") or {}
    storage = next(v["name"] for v in spec["versions"] if v.get("storage"))
    taken = _taken_name(spec, cluster.resources.all())
    status = {
        "acceptedNames": before.get("acceptedNames", {"plural": "", "kind": ""}) if taken else spec["names"],
        "conditions": _conditions(before.get("conditions") or [], taken),
        "storedVersions": list(dict.fromkeys([*before.get("storedVersions", ()), storage])),
    }
    crd["status"] = {**before, **status}
    # What cannot be made of it must fail before it is stored.
    definition_of(crd)


def _taken_name(spec: Object, served: Iterable[Resource]) -> str:
    """Which of the names another resource of the group has; empty when none."""
    names = spec["names"]
    key = f"{names['plural']}.{spec['group']}"
    others = [r for r in served if r.group == spec["group"] and r.key != key]
    words = {"plural": names["plural"], "singular": names.get("singular", "")}
    for label, name in [*words.items(), *(("shortNames", short) for short in names.get("shortNames", ()))]:
        if any(name and name in (r.plural, r.singular, *r.short) for r in others):
            return f'{label}: "{name}" is already in use'
    if any(names["kind"] in (r.kind, f"{r.kind}List") for r in others):
        return f'kind: "{names["kind"]}" is already in use'
    return ""


def _conditions(before: list[Object], taken: str) -> list[Object]:
    accepted = ("False", "NameConflict", taken) if taken else ("True", "NoConflicts", "no conflicts found")
    established = (
        ("False", "NotAccepted", "not all names are accepted")
        if taken and find(before, "Established").get("status") != "True"
        else ("True", "InitialNamesAccepted", "the initial names have been accepted")
    )
    return updated(
        before, condition(before, "NamesAccepted", *accepted), condition(before, "Established", *established)
    )


BEHAVIOUR = Behaviour(
    CRDS,
    fill_defaults=_fill_defaults,
    fields=_FIELDS,
    check=_check,
    check_update=_check_update,
    allocate=_allocate,
    counts_generations=True,
    names_what_it_replaces=True,
    printer=NAME_AND_CREATION,
)
